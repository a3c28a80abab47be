"""Homework 7, the answer: minicnn/lecture/analyses/lesion.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.lecture.analyses.lesion", globals())
