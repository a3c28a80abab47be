"""Digits as people draw them: dark strokes of a round pen, with a tremble, somewhere on a white sheet."""

from __future__ import annotations

import numpy as np
from PIL import Image

# Each digit in strokes; each stroke is a curve through points (x, y), right and down, in a box of height 1.
STROKES: tuple[tuple[tuple[tuple[float, float], ...], ...], ...] = (
    (((0.35, 0.02), (0.08, 0.25), (0.06, 0.65), (0.32, 0.98), (0.6, 0.72), (0.6, 0.28), (0.35, 0.02)),),
    (((0.2, 0.2), (0.38, 0.0), (0.38, 0.5), (0.37, 1.0)),),
    (((0.08, 0.22), (0.3, 0.0), (0.56, 0.2), (0.4, 0.55), (0.05, 0.97), (0.35, 0.95), (0.62, 0.97)),),
    (((0.08, 0.08), (0.4, 0.0), (0.56, 0.22), (0.25, 0.47), (0.58, 0.68), (0.4, 0.97), (0.05, 0.9)),),
    (((0.36, 0.0), (0.18, 0.35), (0.05, 0.62), (0.35, 0.62), (0.68, 0.6)), ((0.5, 0.35), (0.48, 0.7), (0.46, 1.0))),
    (((0.58, 0.02), (0.35, 0.03), (0.14, 0.04), (0.1, 0.45), (0.4, 0.42), (0.58, 0.7), (0.36, 0.98), (0.05, 0.9)),),
    (((0.5, 0.0), (0.2, 0.25), (0.06, 0.68), (0.3, 0.98), (0.56, 0.75), (0.36, 0.52), (0.1, 0.68)),),
    (((0.05, 0.05), (0.3, 0.06), (0.6, 0.04), (0.42, 0.45), (0.26, 1.0)),),
    (((0.52, 0.12), (0.3, 0.0), (0.12, 0.2), (0.32, 0.46), (0.56, 0.74), (0.32, 0.98), (0.08, 0.76), (0.34, 0.46),
      (0.54, 0.22), (0.48, 0.08)),),
    (((0.54, 0.2), (0.3, 0.02), (0.1, 0.24), (0.28, 0.46), (0.54, 0.24), (0.55, 0.5), (0.42, 1.0)),),
)  # fmt: skip


def curve(points: np.ndarray, steps: int = 24) -> np.ndarray:
    """A smooth curve through the points: (count, 2) by Catmull and Rom."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, 1, steps)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate(pieces)


def drawn_digit(
    digit: int, seed: int = 0, size: tuple[int, int] = (280, 280), height: float = 170, pen: float = 16
) -> Image.Image:
    """A grey picture, dark on white.

    Args:
        size: of the sheet (width, height).
        height: of the digit, in pixels.
        pen: the width of the stroke, in pixels.
    """
    rng = np.random.default_rng([seed, digit])
    middle = np.array(size) / 2 + rng.uniform(-0.08, 0.08, 2) * size
    slant = rng.uniform(-0.15, 0.15)
    y, x = np.mgrid[: size[1], : size[0]] + 0.5
    ink = np.zeros((size[1], size[0]))
    for stroke in STROKES[digit]:
        points = np.array(stroke) - (0.33, 0.5) + rng.normal(0, 0.015, (len(stroke), 2))
        points = points @ np.array([[1, 0], [-slant, 1]])
        for px, py in curve(points) * height + middle:
            ink = np.maximum(ink, np.clip((pen / 2 - np.hypot(x - px, y - py)) + 0.5, 0, 1))
    return Image.fromarray((255 - 225 * ink).round().astype(np.uint8))
