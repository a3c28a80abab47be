"""Images to transform: batches of arrays, and Pillow's pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from tests.library.support import peers

sides = st.integers(1, 12)

seeds = st.integers(0, 2**32 - 1)


@st.composite
def batches(draw: Any, dtypes: tuple[str, ...] = ("uint8", "float32"), channels: tuple[int, ...] = (1, 3)) -> Any:
    shape = (draw(st.integers(1, 5)), draw(st.sampled_from(channels)), draw(sides), draw(sides))
    rng = np.random.default_rng(draw(seeds))
    if draw(st.sampled_from(dtypes)) == "uint8":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    return rng.standard_normal(shape).astype(np.float32)


def picture(mode: str, width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def vision() -> Any:
    peers.torchvision()
    from torchvision import transforms

    return transforms


def assert_same_image(ours: Image.Image, theirs: Image.Image) -> None:
    assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
