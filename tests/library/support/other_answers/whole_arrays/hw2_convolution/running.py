"""Homework 2, running.py: the holes, filled in another way."""

import numpy as np


def updated_mean(running, batch, momentum):
    return np.average([running, batch], axis=0, weights=[1 - momentum, momentum]).astype(running.dtype)


def updated_variance(running, variance, count, momentum):
    sum_of_squares = variance * count
    return updated_mean(running, sum_of_squares / (count - 1), momentum)
