"""Folders of images, one subfolder per class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

GREY = np.arange(64, dtype="f8").reshape(8, 8) / 63

COLOUR = np.stack([GREY, GREY.T, 1 - GREY], -1)

RGB = Image.fromarray((COLOUR * 255).astype("u1"))


def photos(root: Path, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    for name in classes:
        (root / name).mkdir(parents=True)
        RGB.save(root / name / "a.png")
    return root


def paint(
    path: Path, color: Any = (204, 102, 51), size: tuple[int, int] = (12, 10), mode: str = "RGB", **save: Any
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).convert(mode).save(path, **save)


def make_folder(root: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 20, size: Any = (12, 10)) -> Path:
    for number, name in enumerate(classes):
        for index in range(count):
            paint(root / name / f"{index:02}.png", (index, 100 * number, 0), size)
    return root
