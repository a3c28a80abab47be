"""Homework 7, the answer: minicnn/lecture/gradient_flow.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.lecture.gradient_flow", globals())
