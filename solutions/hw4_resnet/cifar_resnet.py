"""Homework 4, the answer: minicnn/models/cifar_resnet.py itself."""

from minicnn.course.solution import reexport

reexport("minicnn.models.cifar_resnet", globals())
