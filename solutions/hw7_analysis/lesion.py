"""Homework 7, the answer: minicnn/lecture/lesion.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.lecture.lesion", globals())
