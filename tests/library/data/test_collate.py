"""Many samples, one batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn.data import collate


def test_collate_stacks_and_keeps_the_structure() -> None:
    sample = {"image": minicnn.ones(2, 3), "label": 4, "weight": 0.5, "known": True, "name": "a", "pair": (1, [2.0])}
    batch = collate([sample, sample, sample])
    assert batch["image"].shape == (3, 2, 3) and batch["image"].dtype == "float32"
    assert batch["label"].dtype == "int64" and batch["known"].dtype == "bool"
    assert batch["weight"].dtype == "float32"
    assert batch["name"] == ["a", "a", "a"]
    assert batch["pair"][0].shape == (3,) and batch["pair"][1][0].shape == (3,)
    assert collate([np.float64(1.0), 2.0]).dtype == minicnn.get_default_dtype()
    assert collate([np.zeros(2), np.ones(2)]).dtype == "float64"


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ([], ValueError, "no samples"),
        ([np.zeros((3, 2, 2)), np.zeros((3, 4, 2))], ValueError, r"\(3, 2, 2\), \(3, 4, 2\)"),
        ([(1, 2), (1,)], ValueError, r"\[1, 2\]"),
        ([object()], TypeError, "object"),
    ],
)
def test_samples_that_make_no_batch_are_refused(samples: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        collate(samples)
