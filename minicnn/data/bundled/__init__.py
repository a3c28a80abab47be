"""Real data that come with the package, under the licences that ``README.md`` here names."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent


@cache
def bundled_digits() -> tuple[np.ndarray, np.ndarray]:
    """All handwritten digits: images (1797, 8, 8), uint8 from 0 to 16, and labels (1797,), uint8.

    Both are read-only, in the order of scikit-learn's ``load_digits``, whose pixels and labels they are.
    """
    with np.load(FOLDER / "digits.npz") as file:
        images, labels = file["images"], file["labels"]
    images.flags.writeable = labels.flags.writeable = False
    return images, labels


def sample_photographs() -> list[np.ndarray]:
    """The two bundled photographs, a temple in China and a flower: uint8 arrays (427, 640, 3), RGB.

    They are scikit-learn's ``load_sample_images``. Name the authors where you show them: danielbuechele and vultilion,
    CC BY 2.0.
    """
    from ..images import load_image

    return [np.array(load_image(FOLDER / name)) for name in ("china.jpg", "flower.jpg")]
