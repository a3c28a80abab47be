"""Homework 7, the answer: minicnn/lecture/analyses/gradient_flow.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.lecture.analyses.gradient_flow", globals())
