"""Homework 3, the answer: minicnn/ops/pointwise.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.ops.pointwise", globals())
