"""Homework 2, running.py: the holes, filled in another way."""


def updated_mean(running, batch, momentum):
    return running + momentum * (batch - running)


def updated_variance(running, variance, count, momentum):
    unbiased = variance * count / (count - 1)
    return running - momentum * (running - unbiased)
