"""Homework 5, the answer: minicnn/models/densenet.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.models.densenet", globals())
