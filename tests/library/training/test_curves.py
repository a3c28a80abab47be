"""The learning curves as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicnn.training import draw_curves
from tests.library.support.runs import history


@pytest.mark.parametrize("lines", [history(12), history(5, validation=False), []], ids=len)
def test_the_curves_are_a_picture_of_a_sensible_size(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "curves.png"
    draw_curves(path, lines, "resnet20 on digits", "test accuracy 99.00 %")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert 800 <= image.width <= 2000
        assert 300 <= image.height <= 1200
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]
    colors = {f"#{bytes(color).hex()}" for color in np.unique(pixels, axis=0)}
    assert ("#1f77b4" in colors) == bool(lines)
    assert ("#d95f02" in colors) == any("validation_loss" in line for line in lines)
