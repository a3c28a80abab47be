"""Homework 6, the answer: minicnn/ops/deformable.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.ops.deformable", globals())
