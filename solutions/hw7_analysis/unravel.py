"""Homework 7, the answer: minicnn/lecture/unravel.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.lecture.unravel", globals())
