"""The pictures of the documentation are what the commands draw, and none is too large."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from minicnn.utils import style
from tests.library.support.scripts import load_script

FOUND = ("digit.png",)  # not drawn: an image for ``minicnn predict``
FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"


PICTURES: dict[str, Callable[[Path], None]] = load_script("images/draw.py").pictures()


def different(one: Path, other: Path) -> float:
    """The share of pixels that are clearly not alike; 1 for pictures of other sizes."""
    a, b = (np.asarray(Image.open(path).convert("RGB"), dtype=int) for path in (one, other))
    return 1.0 if a.shape != b.shape else float((np.abs(a - b).max(axis=2) > 24).mean())


@pytest.mark.slow(20)
@pytest.mark.parametrize("name", sorted(PICTURES))
def test_a_picture_is_as_it_is_drawn_now(name: str, tmp_path: Path) -> None:
    with Image.open(FOLDER / name) as kept:
        drawn_by = kept.info["Software"].split(",")[0]
    if drawn_by != f"Matplotlib version{matplotlib.__version__}":
        pytest.skip(f"drawn by {drawn_by}, and this one places letters differently")
    PICTURES[name](tmp_path / name)
    assert different(FOLDER / name, tmp_path / name) < 2e-4, "if this is as it should be: python docs/images/draw.py"


def test_every_picture_is_drawn_and_none_is_too_large() -> None:
    pictures = sorted(path for path in FOLDER.glob("*.png") if path.name not in FOUND)
    assert [path.name for path in pictures] == sorted(PICTURES)
    sizes = [path.stat().st_size for path in pictures]
    assert max(sizes) < 2**18 and sum(sizes) < 2 * 2**20
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.width == style.WIDTH * style.DPI and picture.height <= 1200


def test_a_changed_drawing_is_noticed(tmp_path: Path) -> None:
    """A line in another colour is; a pixel or two are not."""
    path = FOLDER / "lecture-degradation.png"
    pixels = np.asarray(Image.open(path).convert("RGB")).copy()
    pixels[5, 5] = 0
    Image.fromarray(pixels).save(tmp_path / "same.png")
    line = (pixels == [int(style.BLUE[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=2)
    pixels[line] = [200, 0, 0]
    Image.fromarray(pixels).save(tmp_path / "other.png")
    assert different(path, tmp_path / "same.png") < 2e-4 < different(path, tmp_path / "other.png")
