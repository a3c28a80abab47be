"""Homework 7, efficiency.py: the holes, filled in another way."""

import numpy as np


def pareto_front(costs, accuracies):
    front, best = [], -float("inf")
    for price in sorted(set(costs)):
        same_price = [i for i in range(len(costs)) if costs[i] == price]
        most = max(accuracies[i] for i in same_price)
        if most > best:
            front += [i for i in same_price if accuracies[i] == most]
            best = most
    return front


def accuracy_density(accuracies, parameters):
    return np.array([accuracy * 1e6 / count for accuracy, count in zip(accuracies, parameters, strict=True)])
