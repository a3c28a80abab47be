"""Homework 7, the answer: minicnn/lecture/analyses/efficiency.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.lecture.analyses.efficiency", globals())
