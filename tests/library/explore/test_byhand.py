"""The convolution that is done by hand: a filter of the network's own on a patch of the image."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn
from minicnn.explore.byhand import EDGE, by_hand
from minicnn.explore.recording import record
from minicnn.tensors import Tensor


def image(channels: int, side: int) -> np.ndarray:
    pixels = np.zeros((channels, side, side), np.float32)
    pixels[:, side // 2 :, side // 2 :] = 1
    return pixels


@pytest.mark.parametrize(
    ("options", "side"),
    [
        ({"kernel_size": 7, "stride": 2, "padding": 3, "bias": False}, 9),
        ({"kernel_size": 3, "padding": 1}, 9),
        ({"kernel_size": 11, "stride": 4, "padding": 2}, 15),
    ],
)
def test_the_filter_is_the_networks_own(options: dict, side: int) -> None:
    conv = nn.Conv2d(3, 8, **options)
    pixels = image(3, 32)
    patch, lesson = by_hand(record(conv, Tensor(pixels[None])).steps, pixels)
    found = np.array(patch)
    assert found.shape == (3, side, side) and found.std() > 0
    kernels = conv.weight.detach().numpy()
    nearest = abs(kernels - np.array(lesson["kernel"])).max(axis=(1, 2, 3))
    chosen = nearest.argmin()
    assert nearest[chosen] <= 5e-5
    assert lesson["bias"] == pytest.approx(0 if conv.bias is None else conv.bias[int(chosen)].item(), abs=5e-5)
    assert (lesson["stride"], lesson["padding"], lesson["node"]) == (conv.stride[0], conv.padding[0], 0)
    answers = conv(Tensor(found[None].astype(np.float32))).detach().numpy()[0]
    assert min(answers.shape[1:]) >= 3
    assert answers.std(axis=(1, 2)).argmax() == chosen


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.ReLU(), nn.Conv2d(2, 3, 3)),
        nn.Conv2d(2, 4, 3, groups=2),
        nn.Conv2d(2, 4, (3, 5)),
        nn.Conv2d(2, 4, 1),
        nn.Conv2d(2, 4, 3, dilation=2),
        nn.Conv2d(2, 4, 3, padding="same"),
    ],
)
def test_an_edge_filter_where_the_network_has_no_plain_one(network: nn.Module) -> None:
    pixels = image(2, 12)
    _, lesson = by_hand(record(network, Tensor(pixels[None])).steps, pixels)
    np.testing.assert_allclose(lesson["kernel"], np.broadcast_to(np.array(EDGE) / 2, (2, 3, 3)))
    assert lesson["node"] is None


def test_images_smaller_than_the_patch() -> None:
    pixels = image(1, 5)
    patch, _ = by_hand(record(nn.Conv2d(1, 2, 3), Tensor(pixels[None])).steps, pixels)
    np.testing.assert_array_equal(patch, pixels)
