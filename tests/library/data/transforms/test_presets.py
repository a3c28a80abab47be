"""The transform before a published classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import minicnn
from minicnn.data import transforms as T
from minicnn.data.transforms import ImageClassification
from tests.library.support.blots import TRANSFORM_TOLERANCE, pixels
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


def test_the_transform_takes_arrays_and_batches_too() -> None:
    batch = np.stack([pixels(61, 47, seed=seed).transpose(2, 0, 1) for seed in range(2)])
    transform = ImageClassification(20, 24, interpolation="bicubic")
    from_batch = transform(batch)
    assert from_batch.shape == (2, 3, 20, 20)
    for image, result in zip(batch, from_batch, strict=True):
        alone = transform(Image.fromarray(image.transpose(1, 2, 0))).numpy()
        np.testing.assert_allclose(result, alone, rtol=0, atol=TRANSFORM_TOLERANCE)


def test_a_pair_squeezes_the_whole_picture() -> None:
    image = Image.new("RGB", (30, 10), "white")
    image.paste("red", (0, 0, 15, 10))
    squeezed = ImageClassification(10, (10, 10), (0,) * 3, (1,) * 3)(image).numpy()
    assert squeezed[1, 5].tolist()[:4] == [0, 0, 0, 0] and squeezed[1, 5].tolist()[-4:] == [1, 1, 1, 1]


@pytest.mark.parametrize("arguments", [(0,), (8, 0), (8, 9, (0.5,), (0.5, 0.5)), (8, 9, (0.5,) * 3, (0.0,) * 3)])
def test_a_transform_that_cannot_be(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"size|means|std"):
        ImageClassification(*arguments)
