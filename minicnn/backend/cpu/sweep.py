"""The geometry of a convolution, and of its gradient at the input, which is a convolution too.

A sweep says which pixels meet which taps of the kernel::

    y[write_start + write_step * p] = sum over taps (offset, number) of  weight[number] * x[stride * p + offset]

with pixels outside x counting as 0. A convolution is one sweep over its input. The gradient at the input of a
convolution with stride s is s * s sweeps over dy, one for each phase: pixel h of the input is seen by output p through
tap i where ``h = p * s - padding + i * dilation``, so pixels ``a, a + s, a + 2 s, ...`` are seen through the same taps,
those with ``(a + padding - i * dilation)`` divisible by s, by outputs that move by one as h moves by s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from ..base import Pair, Window

Tap = tuple[int, int, int]  # row offset, column offset, number of the tap in the kernel, in reading order


@dataclass(frozen=True, eq=False)  # eq=False: the functions below give the same object for the same arguments
class Sweep:
    """One pass over images; see above."""

    stride: Pair
    taps: tuple[Tap, ...]
    count: Pair  # of positions p, along height and width
    write_start: Pair = (0, 0)
    write_step: Pair = (1, 1)

    @cached_property
    def first(self) -> Pair:
        """The smallest offsets: where the first window begins. Negative in the padding."""
        return min(row for row, _, _ in self.taps), min(column for _, column, _ in self.taps)

    @cached_property
    def span(self) -> Pair:
        """Pixels from the first to the last that one position sees."""
        top, left = self.first
        return max(row for row, _, _ in self.taps) - top + 1, max(column for _, column, _ in self.taps) - left + 1

    @cached_property
    def seen(self) -> Pair:
        """Rows and columns of pixels that all positions see together."""
        height, width = ((self.count[axis] - 1) * self.stride[axis] + self.span[axis] for axis in (0, 1))
        return height, width

    @cached_property
    def square(self) -> bool:
        """Whether this is a 3x3 convolution without stride or dilation, as Winograd's needs it."""
        top, left = self.first
        offsets = {(row - top, column - left) for row, column, _ in self.taps}
        all_nine = offsets == {(i, j) for i in range(3) for j in range(3)} and len(self.taps) == 9
        return all_nine and self.stride == self.write_step == (1, 1)

    def inside(self, height: int, width: int) -> bool:
        """Whether no position sees a pixel outside an image of this size."""
        (top, left), (rows, columns) = self.first, self.seen
        return top >= 0 and left >= 0 and top + rows <= height and left + columns <= width

    def margins(self, width: int) -> tuple[int, int, int]:
        """Of the ``seen`` columns of an image of this width: how many lie left of it, and are zeros; how many of its
        own are skipped, if the first window begins inside; and how many are copied. The rest are zeros again.
        """
        left, columns = self.first[1], self.seen[1]
        before, skipped = min(max(0, -left), columns), max(0, left)
        return before, skipped, max(0, min(columns - before, width - skipped))

    @cached_property
    def runs(self) -> list[list[Tap]]:
        """The taps in stretches of neighbours along the width, all of one length; in memory each is one stretch."""
        rows: dict[int, list[Tap]] = {}
        for tap in sorted(self.taps):
            rows.setdefault(tap[0], []).append(tap)
        whole = list(rows.values())
        lengths = {len(run) for run in whole}
        neighbours = all(b[1] - a[1] == 1 for run in whole for a, b in zip(run, run[1:], strict=False))
        return whole if neighbours and len(lengths) == 1 else [[tap] for tap in sorted(self.taps)]

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the taps in the order of ``runs``, in which the weights are packed."""
        return tuple(number for run in self.runs for _, _, number in run)


@cache
def forward_sweep(window: Window, size: Pair) -> Sweep:
    """The convolution of images of ``size``."""
    (top, _), (left, _) = window.padding
    kernel_h, kernel_w = window.kernel_size
    taps = tuple(
        (i * window.dilation[0] - top, j * window.dilation[1] - left, i * kernel_w + j)
        for i in range(kernel_h)
        for j in range(kernel_w)
    )
    return Sweep(window.stride, taps, window.output_size(size))


@cache
def input_grad_sweeps(window: Window, size: Pair) -> tuple[Sweep, ...]:
    """The sweeps over dy that make the gradient at an input of ``size``. Pixels that none writes have gradient 0."""
    return tuple(sweep for sweep in _phases(window, size) if sweep.taps and min(sweep.count) > 0)


@cache
def pointwise_sweep(count: Pair) -> Sweep:
    """That of a 1x1 convolution without a stride over so many pixels."""
    return Sweep((1, 1), ((0, 0, 0),), count)


def _phases(window: Window, size: Pair) -> Iterator[Sweep]:
    offsets = [[_seen_by(window, axis, phase) for phase in range(window.stride[axis])] for axis in (0, 1)]
    for above in range(window.stride[0]):
        for left in range(window.stride[1]):
            taps = tuple(
                (row, column, i * window.kernel_size[1] + j)
                for row, i in offsets[0][above]
                for column, j in offsets[1][left]
            )
            count = -(-(size[0] - above) // window.stride[0]), -(-(size[1] - left) // window.stride[1])
            yield Sweep((1, 1), taps, count, (above, left), window.stride)


def _seen_by(window: Window, axis: int, phase: int) -> list[tuple[int, int]]:
    """The taps through which input pixels of a phase are seen: (which output, from their own number on, tap)."""
    stride, before = window.stride[axis], window.padding[axis][0]
    distances = [(phase + before - tap * window.dilation[axis], tap) for tap in range(window.kernel_size[axis])]
    return [(distance // stride, tap) for distance, tap in distances if distance % stride == 0]
