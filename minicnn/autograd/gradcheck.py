"""Compare a backward with central differences, and say what is wrong with it.

For a function ``y = f(x)`` and a random cotangent ``c`` (one for each output), backward must return the
vector-Jacobian product ``sum_k c_k * dy_k/dx_i`` for every entry ``i`` of ``x``. Central differences give the
same number without any calculus::

    expected_i = sum_k c_k * (y_k(x + h e_i) - y_k(x - h e_i)) / (2 h)

The cotangent is random because an all-ones one does not see everything: the rows of a softmax sum to one, the channels
of a batch norm sum to its bias, so for both it would accept a backward that returns zeros. Everything
runs in float64: in float32 the difference quotient has two or three correct digits. Functions with kinks (ReLU,
max) must be checked at points further than ``eps`` from the kink; choosing such points is the caller's job.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import AutogradError, GradientShapeError
from ..tensors import Tensor
from .backward import grad
from .diagnosis import ArgumentReport, diagnose
from .function import gradient_edge
from .modes import no_grad

Array = np.ndarray


@dataclass(frozen=True)
class GradcheckReport:
    """One :class:`ArgumentReport` per checked argument; ``problem`` says what is wrong with ``fn`` itself."""

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
    """A gradient is wrong. ``report`` is the :class:`GradcheckReport` from which the message was made."""

    def __init__(self, report: GradcheckReport):
        super().__init__(f"gradcheck failed\n{report}")
        self.report = report


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
        gradient[index] = change / (high - low)  # the step as rounded, not ``eps``
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
    """As :func:`gradcheck`, but returns everything that was found instead of True or an error."""
    arguments = [_as_float64(x) for x in ((inputs,) if isinstance(inputs, Tensor) else inputs)]
    checked = {i: x for i, x in enumerate(arguments) if isinstance(x, Tensor) and x.requires_grad}
    if not checked:
        raise ValueError("gradcheck needs at least one input Tensor with requires_grad=True")

    def outputs() -> list[Tensor]:
        result = fn(*arguments)
        result = result if isinstance(result, (tuple, list)) else (result,)
        return [y for y in result if isinstance(y, Tensor) and y.is_floating_point()]

    def values() -> list[Array]:
        with no_grad():
            return [y.array.copy() for y in outputs()]

    before = [x.array.copy() for x in checked.values()]
    first, second = values(), values()
    if problem := _problem_with_values(first, second, nondet_tol):
        return GradcheckReport(problem=problem)
    rng = np.random.default_rng([seed, 1])  # not the stream of default_rng(seed), which may have made the inputs
    cotangents = [np.asarray(rng.standard_normal(y.shape)) for y in first]

    def gradients() -> dict[int, Array | None]:
        roots = [(y, c) for y, c in zip(outputs(), cotangents, strict=True) if y.requires_grad]
        if not roots:
            return dict.fromkeys(checked)
        given = [Tensor(c.copy()) for _, c in roots]
        found = grad([y for y, _ in roots], list(checked.values()), given, allow_unused=True)
        if any((g.array != c).any() for g, (_, c) in zip(given, roots, strict=True)):
            raise AutogradError("it wrote into its cotangent, which other nodes may still need")
        return {i: None if g is None else g.array for i, g in zip(checked, found, strict=True)}

    try:
        got, again = gradients(), gradients()
    except GradientShapeError as error:  # report only the argument it belongs to
        edge = error.node.edges[error.argument]
        got = {i: error.gradient for i, x in checked.items() if gradient_edge(x) == edge}
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
            A float64 Tensor is changed by ``eps`` in place and restored, so ``fn`` may also use it in another
            way (as a module's parameter, say); one of another precision is replaced by a float64 copy.
        eps: the step of the difference quotient. Kinks of ``fn`` must be further away than this.
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
    """The numbers from which a wrong constant factor usually comes."""
    sizes = {f"size of axis {axis}": size for axis, size in enumerate(x.shape)}
    sizes["number of entries"] = x.numel()
    for y in outputs:
        more = {f"size of the output's axis {axis}": size for axis, size in enumerate(y.shape)}
        more["number of outputs"] = y.size
        if y.ndim > 2:
            more["number of outputs in a channel"] = y.size // max(y.shape[1], 1)
        sizes |= {name: size for name, size in more.items() if size not in sizes.values()}
    return sizes
