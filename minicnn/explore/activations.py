"""What flows through the network, as small pictures: the maps of each step, its filters, and the largest values.

All maps of a step are one PNG, side by side, so that a page has a few hundred pictures and not thousands.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..nn import Conv2d, Module
from ..utils.page import data_url
from .numbers import short

CHANNELS = 16  # of a step, at most
SIDE = 32  # of a map, at most
GRID = 32  # pixels along a side at which maps are compared, at least
LARGEST = 10  # values of an output without a width
LEVELS = 64  # of grey: as many as the eye tells apart in a small map, and files of half the size
SHOWN_SIDE = 224  # of the image, at most
HEAT_SIDE = 112  # of a picture of where a unit looks, at most
FILTERS = 64  # of a convolution on colours; of others as many as there are maps


def feature_maps(output: np.ndarray) -> dict[str, Any] | None:
    """The maps of an output (C, H, W) that differ most between their pixels, in this order; None for other outputs.

    Differences are measured at pixels at most 1/32 of the map apart, which takes a fraction of the time; a map with
    numbers that are not finite comes first. Maps above ``SIDE`` pixels are shrunk, by the means of their pixels.
    ``low`` and ``high`` are the values that the darkest and the lightest grey stand for. Where a value is not finite,
    the map is as dark as it can be.
    """
    if output.ndim != 3 or output.shape[1:] == (1, 1) or 0 in output.shape:
        return None
    stride = max(1, min(output.shape[1:]) // GRID)
    with np.errstate(all="ignore"):
        spread = output[:, ::stride, ::stride].std(axis=(1, 2), dtype=np.float64)
    chosen = np.argsort(-np.where(np.isfinite(spread), spread, np.inf), kind="stable")[:CHANNELS]
    maps = np.stack([shrunk(output[channel], SIDE) for channel in chosen])
    return sheet(maps) | {"channels": chosen.tolist()}


def sheet(maps: np.ndarray) -> dict[str, Any]:
    """Grey pictures (N, h, w) on one sheet, on a common scale from their smallest number to the largest."""
    finite = maps[np.isfinite(maps)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    share = np.nan_to_num((maps - low) / (high - low if high > low else 1), nan=0, posinf=0, neginf=0)
    grey = np.rint(np.clip(share, 0, 1) * (LEVELS - 1)) * (255 / (LEVELS - 1))
    columns = math.ceil(math.sqrt(len(maps)))
    return {
        "src": picture(tiled(grey.astype(np.uint8), columns)),
        "columns": columns,
        "size": list(maps.shape[1:3]),
        "low": short(low, 6),
        "high": short(high, 6),
    }


def filters(weight: np.ndarray, channels: Sequence[int] | None) -> dict[str, Any] | None:
    """The filters of a convolution (K, C, h, w): in colours for three channels, else one slice of each in grey.

    Middle grey is 0. Shown are the first 64 in colours, or those that make the maps of ``channels``; of several slices
    the one with the largest weights. ``channels`` says which filters these are, ``slices`` which slice of each (None in
    colours). None for 1x1 filters, which have no shape, and for weights that are not finite.
    """
    if weight.ndim != 4 or weight.shape[2:] == (1, 1) or not np.isfinite(weight).all():
        return None
    color = weight.shape[1] == 3
    if color:
        shown, slices = list(range(len(weight[:FILTERS]))), None
        tiles = weight[shown].transpose(0, 2, 3, 1)
    else:
        shown = list(range(len(weight[:CHANNELS])) if channels is None else channels)
        slices = np.square(weight[shown], dtype=np.float64).sum(axis=(2, 3)).argmax(axis=1).tolist()
        tiles = weight[shown, slices]
    largest = np.abs(tiles).max() or 1
    columns = math.ceil(math.sqrt(len(tiles)))
    bytes_ = np.rint(127.5 + 127.5 * tiles / largest).astype(np.uint8)
    return {
        "src": picture(tiled(bytes_, columns)),
        "columns": columns,
        "size": list(weight.shape[2:]),
        "count": len(tiles),
        "channels": shown,
        "slices": slices,
        "color": color,
    }


def filters_of(layer: Module | None, maps: dict[str, Any] | None) -> dict[str, Any] | None:
    """``filters`` of a convolution, those that make ``maps`` if there are any; None for other layers."""
    if not isinstance(layer, Conv2d):
        return None
    return filters(layer.weight.detach().cpu().numpy(), maps["channels"] if maps else None)


def largest_values(output: np.ndarray) -> list[list[Any]] | None:
    """The largest finite values of an output with one dimension that counts, as [index, value]; None for others."""
    if sum(length > 1 for length in output.shape) > 1 or not output.size:
        return None
    values = output.reshape(-1)
    ranks = np.argsort(-np.where(np.isfinite(values), values, -np.inf), kind="stable")[:LARGEST]
    return [[int(at), short(values[at], 6)] for at in ranks if np.isfinite(values[at])]


def image_picture(image: np.ndarray, mean: Sequence[float] | None, std: Sequence[float] | None) -> str:
    """The network's input (C, H, W) without its normalisation, at most ``SHOWN_SIDE`` pixels wide; RGB or grey."""
    shown = np.nan_to_num(image[: 3 if len(image) == 3 else 1].astype(np.float64), posinf=0, neginf=0)
    if mean is not None and std is not None:
        shares = shown * np.array(std[: len(shown)])[:, None, None] + np.array(mean[: len(shown)])[:, None, None]
    else:
        low, high = shown.min(), shown.max()
        shares = (shown - low) / (high - low if high > low else 1)
    planes = [shrunk(plane, SHOWN_SIDE) for plane in np.clip(shares, 0, 1)]
    pixels = np.rint(255 * np.stack(planes, axis=-1)).astype(np.uint8)
    return picture(pixels if len(planes) == 3 else pixels[..., 0])


def share_picture(shares: np.ndarray) -> str:
    """(h, w) from 0 to at most 1 as a grey picture, white at its maximum."""
    peak = shares.max()
    return picture(np.rint(255 * (shares / peak if peak > 0 else shares)).astype(np.uint8))


def shrunk(map_: np.ndarray, side: int) -> np.ndarray:
    """(H, W) with sides up to ``side``, by the means of the pixels that fall together."""
    from PIL import Image

    height, width = map_.shape
    factor = max(height, width) / side
    if factor <= 1:
        return map_
    size = max(1, round(width / factor)), max(1, round(height / factor))
    image = Image.fromarray(np.ascontiguousarray(map_, np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def tiled(pictures: np.ndarray, columns: int) -> np.ndarray:
    """(N, h, w) or (N, h, w, 3) as one picture of several rows; the places that stay free are black."""
    rows = -(-len(pictures) // columns)
    height, width, *colors = pictures.shape[1:]
    whole = np.zeros((rows * columns, height, width, *colors), np.uint8)
    whole[: len(pictures)] = pictures
    whole = whole.reshape(rows, columns, height, width, *colors).swapaxes(1, 2)
    return whole.reshape(rows * height, columns * width, *colors)


def picture(pixels: np.ndarray) -> str:
    """Grey (h, w) or colours (h, w, 3) of 8 bits as a PNG in a data URL."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=9)
    return data_url(file.getvalue())
