"""Homework 6, the answer: minicnn/backend/cpu/deformable.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.backend.cpu.deformable", globals())
