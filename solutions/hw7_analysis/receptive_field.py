"""Homework 7, the answer: minicnn/lecture/analyses/receptive_field.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.lecture.analyses.receptive_field", globals())
