"""Compare a backward with central differences, and say what is wrong with it.

For a function ``y = f(x)`` and a random cotangent ``c`` (one for each output), backward must return the
vector-Jacobian product ``sum_k c_k * dy_k/dx_i`` for every entry ``i`` of ``x``.  Central differences give the
same number without any calculus::

    expected_i = sum_k c_k * (y_k(x + h e_i) - y_k(x - h e_i)) / (2 h)

The cotangent is random because an all-ones one is blind: the rows of a softmax always sum to one, the channels
of a batch norm always sum to its bias, so for both of them it accepts a backward that returns zeros.  Everything
runs in float64: in float32 the difference quotient has two or three correct digits.  Functions with kinks (ReLU,
max) must be checked at points further than ``eps`` from the kink; choosing such points is the caller's job.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from . import autograd
from .errors import AutogradError, GradientShapeError
from .tensor import Tensor

Array = np.ndarray
Finding = tuple[str, str]  # kind, sentence


@dataclass(frozen=True)
class ArgumentReport:
    """The verdict on one argument's gradient.

    ``kind`` is ``"ok"``, or what is wrong: ``"missing"``, ``"shape"``, ``"unreduced"``, ``"nonfinite"``,
    ``"zero"``, ``"sign"``, ``"factor"``, ``"transposed"``, ``"flipped"``, ``"border"``, ``"interior"``, or
    ``"wrong"`` where no exact pattern fits all entries.  ``pattern`` says the same as a sentence.  ``index`` is
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


@dataclass(frozen=True)
class GradcheckReport:
    """One :class:`ArgumentReport` for each checked argument; ``problem`` is what is wrong with ``fn`` itself."""

    arguments: tuple[ArgumentReport, ...] = ()
    problem: str = ""

    @property
    def ok(self) -> bool:
        return not self.problem and all(argument.ok for argument in self.arguments)

    @property
    def norm_error(self) -> float:
        """The largest ``norm_error`` of all arguments."""
        return max((argument.norm_error for argument in self.arguments), default=math.nan)

    def __str__(self) -> str:
        wrong_first = sorted(self.arguments, key=lambda argument: argument.ok)
        return "\n".join([self.problem] * bool(self.problem) + [str(argument) for argument in wrong_first])


class GradcheckError(AssertionError, RuntimeError):
    """A gradient is wrong.  ``report`` is the :class:`GradcheckReport` behind the message."""

    def __init__(self, report: GradcheckReport):
        super().__init__(f"gradcheck failed\n{report}")
        self.report = report


# --- the patterns ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pair:
    """A gradient and the right one, with what counts as equal."""

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
    if reduced.shape != kept or not np.allclose(reduced.reshape(expected.shape), expected, 10 * pair.rtol, 10 * pair.atol):
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
            how = f"axes {moved[0]} and {moved[1]} are swapped" if len(moved) == 2 else f"the axes are permuted to {axes}"
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
    return None if pair.got.any() else ("zero", "the gradient is zero everywhere")


def _sign(pair: _Pair) -> Finding | None:
    return ("sign", "the sign is flipped in every entry") if pair.same(-pair.expected) else None


def _factor(pair: _Pair) -> Finding | None:
    got, expected = pair.got, pair.expected
    # One number is always "a factor" of another: a pattern needs two entries that matter.
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
    # On the plane of the last two axes (an image or a kernel): is the right part, or the wrong part, a rectangle?
    got, expected = pair.got, pair.expected
    if expected.ndim < 2 or min(expected.shape[-2:]) < 3:
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
    """(top, bottom, left, right) if the True entries fill a rectangle that is neither empty nor everything."""
    if not mask.any() or mask.all():
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    return (top, bottom, left, right) if mask[top:bottom, left:right].all() else None


# The first that answers is reported.  Those before `_nonfinite` also take a gradient of the wrong shape.
_PATTERNS: tuple[Callable[[_Pair], Finding | None], ...] = (
    _unreduced, _transposed, _shape, _nonfinite, _zero, _sign, _factor, _flipped, _border,
)  # fmt: skip


# --- the check ------------------------------------------------------------------------------------------------


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

    An entry is right when ``|got - expected| <= atol + rtol * |expected|``.  A pattern is claimed only when it
    explains every entry to the same tolerance and leaves at most 0.01 % of the difference.  ``sizes`` (name ->
    number) are what a wrong constant factor is looked up in, for a hint such as "4 = size of axis 0".
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


def numerical_gradient(
    fn: Callable[[], Sequence[Array]], array: Array, cotangents: Sequence[Array], eps: float = 1e-6
) -> Array:
    """``sum_k cotangents[k] * d fn()[k] / d array[i]`` for every ``i``, by central differences.

    ``fn`` reads ``array``, which is changed in place and restored; its results must not share memory with it.
    """
    gradient = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        value = array[index]
        try:
            array[index] = value + eps
            above, high = fn(), array[index]
            array[index] = value - eps
            below, low = fn(), array[index]
        finally:
            array[index] = value
        change = sum(float(np.vdot(c, a - b)) for c, a, b in zip(cotangents, above, below, strict=True))
        gradient[index] = change / (high - low)  # the step that was made, not the one that was asked for
    return gradient


def gradcheck_report(
    fn: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-7,
    rtol: float = 1e-5,
    nondet_tol: float = 1e-12,
    seed: int = 0,
) -> GradcheckReport:
    """As :func:`gradcheck`, but answers with everything that was found instead of True or an error."""
    arguments = [_as_float64(x) for x in ((inputs,) if isinstance(inputs, Tensor) else inputs)]
    checked = {i: x for i, x in enumerate(arguments) if isinstance(x, Tensor) and x.requires_grad}
    if not checked:
        raise ValueError("gradcheck needs at least one input Tensor with requires_grad=True")

    def outputs() -> list[Tensor]:
        result = fn(*arguments)
        result = result if isinstance(result, (tuple, list)) else (result,)
        return [y for y in result if isinstance(y, Tensor) and y.is_floating_point()]

    def values() -> list[Array]:
        with autograd.no_grad():
            return [y.array.copy() for y in outputs()]

    before = [x.array.copy() for x in checked.values()]
    first, second = values(), values()
    if problem := _problem_with_values(first, second, nondet_tol):
        return GradcheckReport(problem=problem)
    rng = np.random.default_rng(seed)
    cotangents = [np.asarray(rng.standard_normal(y.shape)) for y in first]

    def gradients() -> dict[int, Array | None]:
        roots = [(y, c) for y, c in zip(outputs(), cotangents, strict=True) if y.requires_grad]
        if not roots:
            return dict.fromkeys(checked)
        given = [Tensor(c.copy()) for _, c in roots]
        found = autograd.grad([y for y, _ in roots], list(checked.values()), given, allow_unused=True)
        if any((g.array != c).any() for g, (_, c) in zip(given, roots, strict=True)):
            raise AutogradError("it wrote into the cotangent it was given, which others may still need")
        return {i: None if g is None else g.array for i, g in zip(checked, found, strict=True)}

    try:
        got, again = gradients(), gradients()
    except GradientShapeError as error:  # look only at the argument it belongs to
        edge = error.node.edges[error.argument]
        got = {i: error.gradient for i, x in checked.items() if autograd.gradient_edge(x) == edge}
        again = got
        if not got:
            return GradcheckReport(problem=f"backward failed: {error}")
    except AutogradError as error:
        return GradcheckReport(problem=f"backward failed: {error}")
    if any((x.array != old).any() for x, old in zip(checked.values(), before, strict=True)):
        return GradcheckReport(problem="fn or its backward changed its input in place")

    reports = []
    for i, gradient in got.items():
        expected = numerical_gradient(values, checked[i].array, cotangents, eps)
        if not np.isfinite(expected).all():
            return GradcheckReport(problem=f"fn is not finite near argument {i}: check it at another point")
        sizes = _sizes(checked[i], first)
        reports.append(diagnose(gradient, expected, name=f"argument {i}", atol=atol, rtol=rtol, sizes=sizes))
        if gradient is not None and _differ(gradient, again[i], nondet_tol):
            return GradcheckReport(tuple(reports), f"two backward passes gave argument {i} different gradients")
    return GradcheckReport(tuple(reports))


def gradcheck(
    fn: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-7,
    rtol: float = 1e-5,
    raise_exception: bool = True,
    nondet_tol: float = 1e-12,
    seed: int = 0,
) -> bool:
    """Check ``fn``'s backward against central differences in float64, in all entries of all inputs.

    Args:
        fn: takes ``inputs``, returns a Tensor or a tuple of them; integer outputs are ignored.
        inputs: a Tensor or a sequence; those with ``requires_grad`` are checked, everything else is passed on.
            A float64 Tensor is moved by ``eps`` in place and restored, so ``fn`` may also reach it in another
            way (a module's parameters, say); one of another precision is replaced by a float64 copy.
        eps: the step of the difference quotient.  Kinks of ``fn`` must be further away than this.
        atol, rtol: an entry is right when ``|got - expected| <= atol + rtol * |expected|``.
        raise_exception: False to return False instead of raising.
        nondet_tol: how far two runs of ``fn``, or of its backward, may differ.
        seed: of the random cotangent.

    Returns True when all gradients are right.

    Raises:
        GradcheckError: with a report: argument, worst entry, got, expected, and the exact pattern if there is one.
        ValueError: when no input requires a gradient.
    """
    report = gradcheck_report(fn, inputs, eps=eps, atol=atol, rtol=rtol, nondet_tol=nondet_tol, seed=seed)
    if not report.ok and raise_exception:
        raise GradcheckError(report)
    return report.ok


def _as_float64(x: Any) -> Any:
    if not isinstance(x, Tensor) or not x.requires_grad or (x.dtype == np.float64 and x.array.flags.writeable):
        return x
    return Tensor(x.array.astype(np.float64), requires_grad=True)


def _problem_with_values(first: list[Array], second: list[Array], nondet_tol: float) -> str:
    if any(y.dtype != np.float64 for y in first):
        return f"fn lost precision: float64 inputs gave {', '.join(str(y.dtype) for y in first)}"
    if len(first) != len(second) or any(_differ(a, b, nondet_tol) for a, b in zip(first, second, strict=True)):
        return "fn is not deterministic: two calls with equal inputs gave different outputs (dropout? fix its seed)"
    if not all(np.isfinite(y).all() for y in first):
        return "fn returned NaN or infinity"
    return ""


def _differ(a: Array, b: Array | None, tolerance: float) -> bool:
    return b is None or a.shape != b.shape or not np.allclose(a, b, tolerance, tolerance, equal_nan=True)


def _sizes(x: Tensor, outputs: list[Array]) -> dict[str, int]:
    """The numbers a wrong constant factor usually comes from."""
    sizes = {f"size of axis {axis}": size for axis, size in enumerate(x.shape)}
    sizes["number of entries"] = x.numel()
    for y in outputs:
        more = {f"size of the output's axis {axis}": size for axis, size in enumerate(y.shape)}
        more["number of outputs"] = y.size
        if y.ndim > 2:
            more["number of outputs in a channel"] = y.size // max(y.shape[1], 1)
        sizes |= {name: size for name, size in more.items() if size not in sizes.values()}
    return sizes
