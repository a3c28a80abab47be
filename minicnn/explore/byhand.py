"""A convolution small enough to be done by hand: one filter of the network's own, on a patch of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..nn import Conv2d
from .steps import INPUT, Step

SIDE = 9  # of the patch, at least
OUTPUTS = 3  # along a side, at least
# Dark to light from left to right, if the network has no convolution of its own on the image (Sobel's kernel).
EDGE = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def by_hand(steps: Sequence[Step], image: np.ndarray) -> tuple[list[Any], dict[str, Any]]:
    """The patch of ``image`` (C, H, W) with the strongest contrast, and the convolution to do on it.

    The filter is the one of the network's first convolution that answers most differently to places of the patch. The
    patch is taken for a whole image, with padding of its own.
    """
    step, layer = next(((step, step.layer) for step in steps if _fits(step, len(image))), (None, None))
    if layer is None:
        kernels, biases = np.broadcast_to(np.array(EDGE) / len(image), (1, len(image), 3, 3)), np.zeros(1)
        stride, padding = 1, 1
    else:
        kernels = layer.weight.detach().cpu().numpy().astype(np.float64)
        biases = np.zeros(len(kernels)) if layer.bias is None else layer.bias.detach().cpu().numpy()
        stride, padding = layer.stride[0], layer.padding[0]
    kernel = kernels.shape[-1]
    side = max(SIDE, kernel - 2 * padding + (OUTPUTS - 1) * stride)
    patch = _contrast(np.nan_to_num(image.astype(np.float64), posinf=0, neginf=0), side)
    padded = np.pad(patch, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))[:, ::stride, ::stride]
    answers = np.einsum("chwij,kcij->khw", windows, kernels)
    chosen = int(np.nan_to_num(answers.std(axis=(1, 2))).argmax())
    return np.round(patch, 3).tolist(), {
        "kernel": np.round(np.nan_to_num(kernels[chosen]), 4).tolist(),
        "bias": round(float(np.nan_to_num(biases[chosen])), 4),
        "stride": stride,
        "padding": padding,
        "node": None if step is None else step.id,
    }


def _fits(step: Step, channels: int) -> bool:
    """Whether it is a plain square convolution of the network's input, larger than 1x1."""
    layer = step.layer
    return (
        type(layer) is Conv2d
        and step.inputs == [INPUT]
        and (layer.in_channels, layer.groups, layer.dilation) == (channels, 1, (1, 1))
        and layer.kernel_size != (1, 1)  # whose windows are single pixels
        and isinstance(layer.padding, tuple)  # not "same"
        and all(len(set(pair)) == 1 for pair in (layer.kernel_size, layer.stride, layer.padding))
    )


def _contrast(image: np.ndarray, side: int) -> np.ndarray:
    """The square of ``side`` pixels (or the image's shorter side) in which the numbers differ most."""
    side = min(side, *image.shape[1:])
    step = max(1, side // 2)
    places = np.lib.stride_tricks.sliding_window_view(image, (side, side), axis=(1, 2))[:, ::step, ::step]
    spread = places.std(axis=(3, 4)).mean(axis=0)
    row, column = np.unravel_index(spread.argmax(), spread.shape)
    return image[:, row * step : row * step + side, column * step : column * step + side]
