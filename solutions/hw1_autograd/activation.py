"""Homework 1, the answer: minicnn/ops/activation.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.ops.activation", globals())
