"""Homework 6, the answer: minicnn/models/deformable.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.models.deformable", globals())
