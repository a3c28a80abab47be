"""What accuracy costs (L3.1): operations, parameters and memory of every architecture, and which are worth it.

Paper  Canziani, Paszke, Culurciello, "An Analysis of Deep Neural Network Models for Practical Applications",
       arXiv:1605.07678 (2016).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pareto_front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """The networks that no other one beats in both accuracy and cost.

    A network is beaten by one that costs no more and is no less accurate, and is better in at least one of the two.

    Args:
        costs: of each network, any numbers; less is better.
        accuracies: of each network, any numbers; more is better.

    Returns:
        the indices of those that are not beaten, by rising cost and, at equal cost, in the given order; ``[]`` for no
        networks. The arguments are not changed.
    """
    raise NotImplementedError("hw7.8 pareto_front: not written yet, see assignments/hw7_analysis/README.md")


def accuracy_density(accuracies: Sequence[float], parameters: Sequence[float]) -> np.ndarray:
    """Per cent of top-1 accuracy per million parameters: the paper's *information density* (its Figure 10).

    Args:
        accuracies: in per cent.
        parameters: numbers of parameters, not millions.

    Returns:
        one number per network.
    """
    raise NotImplementedError("hw7.8 accuracy_density: not written yet, see assignments/hw7_analysis/README.md")
