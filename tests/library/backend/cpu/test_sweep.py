"""The geometry of a convolution's gradient at its input."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from minicnn.backend.base import Window
from minicnn.backend.cpu.sweep import forward_sweep, input_grad_sweeps


@given(st.data())
@example(None)
def test_the_gradients_sweeps_meet_each_pixel_through_each_tap_once(data: Any) -> None:
    """All triples (input pixel, output, tap) of the phases are those of the convolution, each once."""
    if data is None:
        window, size = Window((3, 3), (2, 2), ((1, 1), (1, 1))), (5, 5)
    else:
        axis = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(0, 2), st.integers(1, 2))
        kernel, stride, before, after, dilation = zip(data.draw(axis), data.draw(axis), strict=True)
        window = Window(kernel, stride, tuple(zip(before, after, strict=True)), dilation)
        size = tuple(max(1, window.extent(a) - sum(window.padding[a])) + data.draw(st.integers(0, 5)) for a in (0, 1))
    height, width = size
    forward = forward_sweep(window, size)
    out_h, out_w = forward.count
    expected = sorted(
        (h, w, p, q, tap)
        for p in range(out_h)
        for q in range(out_w)
        for row, column, tap in forward.taps
        if 0 <= (h := p * window.stride[0] + row) < height and 0 <= (w := q * window.stride[1] + column) < width
    )
    found = sorted(
        (sweep.write_start[0] + m * sweep.write_step[0], sweep.write_start[1] + n * sweep.write_step[1], p, q, tap)
        for sweep in input_grad_sweeps(window, size)
        for m in range(sweep.count[0])
        for n in range(sweep.count[1])
        for row, column, tap in sweep.taps
        if 0 <= (p := m + row) < out_h and 0 <= (q := n + column) < out_w
    )
    assert found == expected
