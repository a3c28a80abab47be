"""Parts of larger images: big[:, a:b], between margins that must not change."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minicnn.backend.cpu import layout

MARGINS = st.tuples(st.integers(0, 19), st.integers(0, 19))


class Part:
    """Images as channels of larger ones, that hold NaN beside them."""

    def __init__(self, values: np.ndarray, margins: tuple[int, int]) -> None:
        n, channels, height, width = values.shape
        before, after = margins
        self.whole = layout.empty_images(n, before + channels + after, height, width, values.dtype)
        self.whole[...] = np.nan
        self.images = self.whole[:, before : before + channels]
        self.images[...] = values
        self.beside = self.whole[:, :before], self.whole[:, before + channels :]

    def check(self) -> None:
        """Nothing has been written beside them."""
        assert all(np.isnan(part).all() for part in self.beside)
