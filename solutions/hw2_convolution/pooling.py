"""Homework 2, the answer to pooling: minicnn/backend/reference/pooling.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.backend.reference.pooling", globals())
