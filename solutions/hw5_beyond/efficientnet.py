"""Homework 5, the answer: minicnn/models/efficientnet.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.models.efficientnet", globals())
