"""How many threads share a plane."""

from __future__ import annotations

from math import prod

from hypothesis import example, given
from hypothesis import strategies as st

from minicnn.backend.cuda.compiler import BLOCK
from minicnn.backend.cuda.planes import PIXELS, TOGETHER, lanes_for


@example((4, 4))
@given(st.lists(st.integers(0, 300), max_size=2).map(tuple))
def test_a_plane_is_shared_by_a_power_of_two_of_threads_that_have_something_to_do(size):
    lanes, pixels = lanes_for(size), prod(size)
    assert 1 <= lanes <= BLOCK and lanes & (lanes - 1) == 0
    assert lanes <= max(2 * pixels // PIXELS, TOGETHER if pixels else 1)
    assert pixels <= 2 * PIXELS * lanes or lanes == BLOCK
    assert lanes >= min(TOGETHER, max(pixels, 1))
