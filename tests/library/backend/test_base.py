"""What backends are given: windows, and how many positions they have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.base import Window


@given(
    size=st.integers(4, 9),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
)
def test_the_window_counts_its_positions(size, kernel, stride, padding, dilation):
    window = Window((kernel, kernel), (stride, stride), ((padding, padding), (0, padding)), (dilation, dilation))
    for axis, (before, after) in enumerate(((padding, padding), (0, padding))):
        starts = range(-before, size + after, stride)
        fitting = [s for s in starts if s + dilation * (kernel - 1) < size + after]
        if fitting:
            assert window.output_size((size, size))[axis] == len(fitting)
