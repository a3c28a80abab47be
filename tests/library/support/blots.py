"""Pictures of random blots, and the weights of a small network that looks at pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import minicnn
from minicnn import nn
from minicnn.models import Card, create_model

TRANSFORM_TOLERANCE = 1e-6  # of the transformed pixels, which lie within -3 .. 3; against torchvision


def pixels(width: int, height: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Random blots of 8 x 8 pixels, so that resizing has something to keep."""
    blots = np.random.default_rng(seed).integers(0, 256, (-(-height // 8), -(-width // 8), channels), dtype=np.uint8)
    return blots.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]


def picture(width: int = 61, height: int = 47, seed: int = 0) -> Image.Image:
    return Image.fromarray(pixels(width, height, seed=seed))


def save_tinynet(path: Path, **changes: Any) -> nn.Module:
    """Weights with the card of a training on three classes of 8 x 8 RGB pictures."""
    classes = changes.get("classes") or ("cat", "dog", "fox")
    model = create_model("tinynet", num_classes=len(classes))
    card = Card(
        model="tinynet", classes=classes, input_shape=(3, 8, 8), resize=9, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4)
    )
    minicnn.save(model.state_dict(), path, metadata=replace(card, **changes).metadata())
    return model
