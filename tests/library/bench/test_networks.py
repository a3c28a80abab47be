"""A network is measured."""

from __future__ import annotations

import pytest

import minicnn
from minicnn.bench.networks import Measured, measure


@pytest.mark.parametrize(("work", "passes"), [("inference", 1), ("training", 3)])
def test_a_network_is_measured(work: str, passes: int) -> None:
    measured = measure("resnet20", work, batch=2, size=8, seconds=0)
    once = minicnn.summary(minicnn.models.create_model("resnet20", init=False), (3, 8, 8)).multiply_adds
    assert measured.multiply_adds == passes * 2 * once
    assert measured.seconds > 0
    if measured.total_bytes is not None:
        assert 0 <= measured.step_bytes < measured.total_bytes


def test_rates() -> None:
    measured = Measured("net", "training", 8, 224, 0.5, 10**10, None, None)
    assert (measured.images_per_second, measured.flops) == (16, 4e10)
