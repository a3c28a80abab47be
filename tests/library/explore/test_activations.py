"""Maps, filters and values as pictures: what a page decodes is what was there."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from minicnn import nn
from minicnn.explore import activations


def decoded(source: str) -> np.ndarray:
    head, _, text = source.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def tiles(sheet: dict[str, Any], count: int) -> np.ndarray:
    """The pictures on a sheet, one by one."""
    height, width = sheet["size"]
    pixels = decoded(sheet["src"])
    places = [divmod(at, sheet["columns"]) for at in range(count)]
    return np.stack([pixels[row * height : (row + 1) * height, at * width : (at + 1) * width] for row, at in places])


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.integers(1, 9), st.integers(2, 9)),
        elements=st.floats(-(2**20), 2**20, width=32),
    )
)
def test_a_page_can_read_the_values_of_small_maps(output: np.ndarray) -> None:
    """To half a level of grey, for the channels that vary most."""
    found = activations.feature_maps(output)
    assert found is not None
    chosen = found["channels"]
    assert len(chosen) == min(len(output), activations.CHANNELS) == len(set(chosen))
    low, high = found["low"], found["high"]
    values = low + tiles(found, len(chosen)) / 255 * (high - low)
    half = (high - low) / (activations.LEVELS - 1) / 2
    tolerance = half * 1.02 + 1e-5 * max(abs(low), abs(high)) + (high - low) / 255
    np.testing.assert_allclose(values, output[chosen], rtol=0, atol=tolerance)
    spread = output.std(axis=(1, 2), dtype=np.float64)
    assert min(spread[chosen]) >= max(np.delete(spread, chosen), default=0)


def test_large_maps_are_shrunk_by_means() -> None:
    output = np.arange(2 * 64 * 128, dtype=np.float32).reshape(2, 64, 128)
    found = activations.feature_maps(output)
    assert found is not None and found["size"] == [16, 32]
    means = output.reshape(2, 16, 4, 32, 4).mean(axis=(2, 4))
    assert found["low"] == pytest.approx(means.min(), rel=1e-4)
    assert found["high"] == pytest.approx(means.max(), rel=1e-4)


@pytest.mark.parametrize("shape", [(5,), (5, 1, 1), (3, 4), (0, 2, 2), (2, 3, 4, 5)])
def test_what_is_no_map(shape: tuple[int, ...]) -> None:
    assert activations.feature_maps(np.zeros(shape, np.float32)) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_dark_and_come_first(bad: float) -> None:
    output = np.linspace(1, 2, 3 * 4 * 4, dtype=np.float32).reshape(3, 4, 4)
    output[2, 1, 1] = bad
    found = activations.feature_maps(output)
    assert found is not None and found["channels"][0] == 2
    assert (found["low"], found["high"]) == (1, 2)
    assert tiles(found, 3)[0][1, 1] == 0
    nothing = activations.feature_maps(np.full((1, 2, 2), bad, np.float32))
    assert nothing is not None and (nothing["low"], nothing["high"]) == (0, 0)


def test_filters_in_colours_and_in_grey() -> None:
    weight = np.random.default_rng(0).standard_normal((70, 3, 3, 5)).astype(np.float32)
    found = activations.filters(weight, None)
    assert found is not None and (found["count"], found["color"], found["size"]) == (64, True, [3, 5])
    assert (found["channels"], found["slices"]) == (list(range(64)), None)
    expected = 127.5 + 127.5 * weight[:64].transpose(0, 2, 3, 1) / abs(weight[:64]).max()
    assert abs(tiles(found, 64) - expected).max() <= 0.5

    weight = np.zeros((8, 6, 3, 3), np.float32)
    weight[5, 4] = 2
    weight[2, 1] = -1
    found = activations.filters(weight, [5, 2])
    assert found is not None and (found["count"], found["color"]) == (2, False)
    assert (found["channels"], found["slices"]) == ([5, 2], [4, 1])
    assert tiles(found, 2)[0].min() == 255 and tiles(found, 2)[1].max() == 64


def test_layers_without_filters_to_see() -> None:
    assert activations.filters_of(nn.Conv2d(3, 4, 1), None) is None
    assert activations.filters_of(nn.Linear(3, 4), None) is None
    assert activations.filters_of(None, None) is None
    assert activations.filters(np.full((2, 3, 3, 3), np.nan, np.float32), None) is None


def test_the_largest_values() -> None:
    values = np.array([0.5, np.nan, 3, -1, np.inf, 3], np.float32).reshape(6, 1, 1)
    assert activations.largest_values(values) == [[2, 3.0], [5, 3.0], [0, 0.5], [3, -1.0]]
    assert len(activations.largest_values(np.arange(50.0)) or ()) == activations.LARGEST
    assert activations.largest_values(np.zeros((2, 3))) is None


def test_the_image_is_shown_without_its_normalisation() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 7)).astype(np.uint8)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    image = (pixels / 255 - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
    np.testing.assert_array_equal(decoded(activations.image_picture(image, mean, std)), pixels.transpose(1, 2, 0))
    grey = decoded(activations.image_picture(np.array([[[-3.0, 1.0]]]), None, None))
    np.testing.assert_array_equal(grey, [[0, 255]])
    assert decoded(activations.image_picture(np.zeros((5, 300, 600)), None, None)).shape == (112, 224)
