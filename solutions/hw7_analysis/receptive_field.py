"""Homework 7, the answer: minicnn/lecture/receptive_field.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.lecture.receptive_field", globals())
