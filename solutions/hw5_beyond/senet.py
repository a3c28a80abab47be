"""Homework 5, the answer: minicnn/models/senet.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.models.senet", globals())
