"""The transform before a published classifier."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.data import transforms as T
from tests.library.support.pictures import picture, seeds, vision


@given(width=st.integers(8, 90), height=st.integers(8, 90), seed=seeds)
def test_the_usual_evaluation_is_torchvisions_to_the_bit(width: int, height: int, seed: int) -> None:
    image = picture("RGB", width, height, seed)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    results = []
    for module in (T, vision()):
        steps = [module.Resize(32), module.CenterCrop(28), module.ToTensor(), module.Normalize(mean, std)]
        results.append(module.Compose(steps)(image))
    ours, theirs = results
    assert isinstance(ours, minicnn.Tensor) and ours.dtype == "float32" and ours.shape == (3, 28, 28)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
