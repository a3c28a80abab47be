"""Homework 7, the answer: minicnn/lecture/analyses/unravel.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.lecture.analyses.unravel", globals())
