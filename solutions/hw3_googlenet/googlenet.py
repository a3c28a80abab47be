"""Homework 3, the answer: minicnn/models/googlenet.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.models.googlenet", globals())
