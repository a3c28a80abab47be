"""Say what is wrong with a gradient: compare it with the right one, and look for an exact pattern in the difference.

Pure NumPy: ``minicnn.gradcheck`` uses it for what backward returned, the homework's feedback for a student's result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

Array = np.ndarray
Finding = tuple[str, str]  # kind, sentence


@dataclass(frozen=True)
class ArgumentReport:
    """The verdict on one argument's gradient.

    ``kind`` is ``"ok"``, or what is wrong: ``"missing"``, ``"shape"``, ``"unreduced"``, ``"nonfinite"``,
    ``"zero"``, ``"sign"``, ``"factor"``, ``"transposed"``, ``"flipped"``, ``"border"``, ``"interior"``, or
    ``"wrong"`` if no exact pattern fits all entries. ``pattern`` says the same in a sentence. ``index`` is
    the worst entry; ``relative_error`` is that entry's ``|got - expected| / max(|got|, |expected|)``;
    ``norm_error`` is the largest error of all over the largest expected entry; ``wrong_share`` is in [0, 1].
    """

    name: str
    kind: str
    pattern: str
    got: Array | None
    expected: Array
    index: tuple[int, ...] | None = None
    relative_error: float = math.nan
    norm_error: float = math.nan
    wrong_share: float = 1.0

    @property
    def ok(self) -> bool:
        return self.kind == "ok"

    def __str__(self) -> str:
        if self.ok:
            return f"{self.name}: right (largest error {self.norm_error:.1e} of the largest gradient)"
        text = f"{self.name}: {self.pattern}"
        if self.got is not None and self.index is not None:
            wrong = round(self.wrong_share * self.expected.size)
            text += (
                f"\n  worst entry {list(self.index)}: got {self.got[self.index]:.10g}, "
                f"expected {self.expected[self.index]:.10g} (relative error {self.relative_error:.2g})"
                f"\n  wrong entries: {wrong} of {self.expected.size} ({self.wrong_share:.0%})"
            )
        return text


def diagnose(
    got: Array | None,
    expected: Array,
    *,
    name: str = "gradient",
    atol: float = 1e-7,
    rtol: float = 1e-5,
    sizes: Mapping[str, int] | None = None,
) -> ArgumentReport:
    """Compare a gradient with the right one entry by entry, and look for an exact pattern in the difference.

    An entry is right if ``|got - expected| <= atol + rtol * |expected|``. A pattern is reported only if it explains
    every entry to the same tolerance and leaves at most 0.01 % of the difference. In ``sizes`` (name -> number) a
    wrong constant factor is looked up, for a hint such as "4 = size of axis 0".
    """
    if got is None:
        if (np.abs(expected) <= atol).all():
            return ArgumentReport(name, "ok", "", None, expected, norm_error=0.0, wrong_share=0.0)
        return ArgumentReport(name, "missing", "no gradient (None), but the output depends on it", None, expected)
    pair = _Pair(got, expected, atol, rtol, sizes or {})
    if got.shape != expected.shape:
        kind, pattern = next(filter(None, (find(pair) for find in _PATTERNS)))
        return ArgumentReport(name, kind, pattern, got, expected)
    if got.size == 0:
        return ArgumentReport(name, "ok", "", got, expected, norm_error=0.0, wrong_share=0.0)

    error = np.where(np.isfinite(got), np.abs(got - expected), np.inf)
    allowed = atol + rtol * np.abs(expected)
    kind, pattern = "ok", ""
    if (error > allowed).any():
        findings = (find(pair) for find in _PATTERNS)
        kind, pattern = next(filter(None, findings), ("wrong", "wrong, with no pattern that fits every entry"))
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(error / allowed)), error.shape))
    larger = max(abs(float(got[index])), abs(float(expected[index])))
    return ArgumentReport(
        name, kind, pattern, got, expected, index,
        relative_error=float(error[index]) / larger if larger else 0.0,
        norm_error=float(error.max()) / max(float(np.abs(expected).max()), atol),
        wrong_share=float((error > allowed).mean()),
    )  # fmt: skip


# --- the patterns ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pair:
    """A gradient and the right one, with the tolerance within which they are equal."""

    got: Array
    expected: Array
    atol: float
    rtol: float
    sizes: Mapping[str, int] = field(default_factory=dict)

    def same(self, candidate: Array) -> bool:
        """Whether `candidate` is `got` in every entry, and the difference from `expected` is thereby explained."""
        if self.got.shape != candidate.shape:
            return False
        rest = np.abs(self.got - candidate)
        if not (rest <= self.atol + self.rtol * np.abs(candidate)).all():
            return False
        return self.got.shape != self.expected.shape or rest.max() <= 1e-4 * np.abs(self.got - self.expected).max()


def _unreduced(pair: _Pair) -> Finding | None:
    got, expected = pair.got, pair.expected
    kept = (1,) * (got.ndim - expected.ndim) + expected.shape  # the argument's shape, as it was broadcast
    if got.shape == expected.shape or got.ndim != len(kept):
        return None
    axes = tuple(axis for axis, (size, one) in enumerate(zip(got.shape, kept, strict=True)) if one == 1 != size)
    reduced = got.sum(axis=axes or tuple(range(got.ndim - expected.ndim)), keepdims=True)
    if reduced.shape != kept or not np.allclose(
        reduced.reshape(expected.shape), expected, 10 * pair.rtol, 10 * pair.atol
    ):
        return None
    text = f"not summed over the broadcast axes {axes}" if axes else "the added axes of size 1 are still there"
    return "unreduced", f"{text}: got shape {got.shape}, expected {expected.shape}; the sum would be right"


def _transposed(pair: _Pair) -> Finding | None:
    got, expected = pair.got, pair.expected
    if expected.ndim > 5 or got.ndim != expected.ndim:
        return None
    order = list(range(expected.ndim))
    candidates = [axes for axes in itertools.permutations(order) if list(axes) != order]
    for axes in sorted(candidates, key=lambda axes: sum(map(int.__ne__, axes, order))):  # swaps of two axes first
        if pair.same(expected.transpose(axes)):
            moved = [axis for axis in order if axes[axis] != axis]
            how = (
                f"axes {moved[0]} and {moved[1]} are swapped" if len(moved) == 2 else f"the axes are permuted to {axes}"
            )
            shapes = "" if got.shape == expected.shape else f": got shape {got.shape}, expected {expected.shape}"
            return "transposed", f"transposed: the numbers are right but {how}{shapes}"
    return None


def _shape(pair: _Pair) -> Finding | None:
    if pair.got.shape == pair.expected.shape:
        return None
    return "shape", f"the gradient has shape {pair.got.shape}, the argument {pair.expected.shape}"


def _nonfinite(pair: _Pair) -> Finding | None:
    bad = np.argwhere(~np.isfinite(pair.got))
    if len(bad) == 0:
        return None
    return "nonfinite", f"{len(bad)} of {pair.got.size} entries are NaN or infinite, the first at {bad[0].tolist()}"


def _zero(pair: _Pair) -> Finding | None:
    return None if pair.got.any() else ("zero", "zero everywhere")


def _sign(pair: _Pair) -> Finding | None:
    return ("sign", "the sign is flipped in every entry") if pair.same(-pair.expected) else None


def _factor(pair: _Pair) -> Finding | None:
    got, expected = pair.got, pair.expected
    # One number is always "a factor" of another: a pattern needs two entries that are not zero.
    if np.count_nonzero(np.abs(expected) > 1e-3 * np.abs(expected).max()) < 2:
        return None
    factor = float(np.vdot(expected, got) / np.vdot(expected, expected))
    if not pair.same(factor * expected):
        return None
    fraction = Fraction(factor).limit_denominator(10_000)
    large, small = fraction.numerator, fraction.denominator
    if not math.isclose(fraction, factor, rel_tol=pair.rtol) or min(abs(large), small) != 1 or factor < 0:
        return "factor", f"every entry is exactly {factor:.6g} times the right one"
    hints = [name for name, size in pair.sizes.items() if size == max(large, small)]
    hint = f" ({max(large, small)} = {' = '.join(hints)})" if hints else ""
    return "factor", f"every entry is exactly {max(large, small)}x too {'large' if large > small else 'small'}{hint}"


def _flipped(pair: _Pair) -> Finding | None:
    long = [axis for axis, size in enumerate(pair.expected.shape) if size > 1]
    for count in range(1, len(long) + 1):
        for axes in itertools.combinations(long, count):
            if pair.same(np.flip(pair.expected, axes)):
                which = f"axis {axes[0]}" if count == 1 else f"axes {', '.join(map(str, axes))}"
                return "flipped", f"flipped: the numbers are right but in reverse order along {which}"
    return None


def _border(pair: _Pair) -> Finding | None:
    # On maps (N, C, H, W) and kernels: is the right part, or the wrong part, a rectangle with a rim around it?
    got, expected = pair.got, pair.expected
    if expected.ndim != 4:
        return None
    height, width = expected.shape[-2:]
    error = np.abs(got - expected)
    wrong = error > pair.atol + pair.rtol * np.abs(expected)
    if wrong.all() or error[~wrong].max() > 1e-2 * error.max():  # no clear line between right and wrong
        return None
    plane = wrong.reshape(-1, height, width).any(axis=0)
    if box := _rectangle(~plane):
        thickness = (box[0], height - box[1], box[2], width - box[3])
        sides = zip(("top", "bottom", "left", "right"), thickness, strict=True)
        where = ", ".join(f"{side} {size}" for side, size in sides if size)
        return "border", f"only the border is wrong ({where} of {height}x{width}), all else is right"
    box = _rectangle(plane)
    if box and box[0] and box[2] and box[1] < height and box[3] < width:
        return "interior", f"only the interior is wrong (rows {box[0]}:{box[1]}, columns {box[2]}:{box[3]})"
    return None


def _rectangle(mask: Array) -> tuple[int, int, int, int] | None:
    """(top, bottom, left, right) if the True entries fill a rectangle, and it is the larger part of both axes."""
    if not mask.any() or mask.all():
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    larger = 2 * (bottom - top) > mask.shape[0] and 2 * (right - left) > mask.shape[1]  # else the rim is no rim
    return (top, bottom, left, right) if larger and mask[top:bottom, left:right].all() else None


# The first finding is reported. The functions before `_nonfinite` also accept a gradient of the wrong shape.
_PATTERNS: tuple[Callable[[_Pair], Finding | None], ...] = (
    _unreduced, _transposed, _shape, _nonfinite, _zero, _sign, _factor, _flipped, _border,
)  # fmt: skip
