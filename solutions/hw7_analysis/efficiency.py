"""Homework 7, the answer: minicnn/lecture/efficiency.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.lecture.efficiency", globals())
