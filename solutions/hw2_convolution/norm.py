"""Homework 2, the answer to batch norm: minicnn/backend/reference/norm.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.backend.reference.norm", globals())
