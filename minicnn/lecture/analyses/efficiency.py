"""What accuracy costs (L3.1): operations, parameters and memory of every architecture, and which are worth it.

Paper  Canziani, Paszke, Culurciello, "An Analysis of Deep Neural Network Models for Practical Applications",
       arXiv:1605.07678 (2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.models import create_model
from minicnn.models.registry import model_entry
from minicnn.nn.summary import FLOAT32_BYTES, summary


@dataclass(frozen=True)
class Cost:
    """One network on one image. Errors are published ones, in per cent; ``None`` if the paper gives none."""

    name: str
    input_size: int
    multiply_adds: int
    parameters: int
    activation_bytes: int
    top1_error: float | None
    top5_error: float | None
    source: str

    @property
    def parameter_bytes(self) -> int:
        """The bytes of all weights in float32."""
        return self.parameters * FLOAT32_BYTES


def cost(name: str, variant: str | None = None) -> Cost:
    """What the model called ``name`` costs, counted by ``nn.summary``, with its published error.

    Args:
        name: one of ``list_models()``.
        variant: as in ``create_model``.

    Returns:
        the costs for one image of the paper's size. Parameters that training alone uses (GoogLeNet's auxiliary
        classifiers) are not counted.
    """
    entry = model_entry(name)
    counted = summary(create_model(name, variant=variant, init=False), (3, entry.input_size, entry.input_size))
    top1, top5, source = entry.score
    return Cost(
        name,
        entry.input_size,
        counted.multiply_adds,
        counted.parameters - counted.idle_parameters,
        counted.activation_bytes,
        top1,
        top5,
        f"{entry.paper.authors} {entry.paper.year}, {source}",
    )


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
    kept = [
        i
        for i, (price, gain) in enumerate(zip(costs, accuracies, strict=True))
        if not any(
            (other <= price and better >= gain) and (other < price or better > gain)
            for other, better in zip(costs, accuracies, strict=True)
        )
    ]
    return sorted(kept, key=lambda i: costs[i])


def accuracy_density(accuracies: Sequence[float], parameters: Sequence[float]) -> np.ndarray:
    """Per cent of top-1 accuracy per million parameters: the paper's *information density* (its Figure 10).

    Args:
        accuracies: in per cent.
        parameters: numbers of parameters, not millions.

    Returns:
        one number per network.
    """
    return np.asarray(accuracies, float) / (np.asarray(parameters, float) / 1e6)
