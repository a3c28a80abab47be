"""What drivers are written with. A driver (see ``checks``) takes a module under test and gives back named answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any
from zlib import crc32

import numpy as np

from .. import Tensor, backend, nn, no_grad
from ..autograd import Function, gradient_edge
from .edition import EDITION

#: The dtype of the float arrays of the case that is running, in which ``fill`` draws.
CASE_DTYPE: ContextVar[str] = ContextVar("CASE_DTYPE", default="float64")


class Unusable(Exception):
    """The code under test gave something that nothing can be done with: the check fails, and this says why."""


def tensor(array: Any, requires_grad: bool = False) -> Tensor:
    """A tensor on the array's own memory, so that writing into it is noticed."""
    return Tensor(array, requires_grad=requires_grad)


def run(module: Any, *inputs: Any) -> Any:
    """Call ``module`` on arrays, as tensors."""
    return module(*(tensor(x) if isinstance(x, np.ndarray) else x for x in inputs))


def fill(module: nn.Module, seed: int) -> nn.Module:
    """Draw all parameters and buffers of ``module`` from ``seed``, each by its key and shape alone.

    They get the dtype of the case's arrays. Two modules with the same keys and shapes become the same function, in
    whatever order they were built. Weights get the size that keeps a signal's, running variances are positive, counters
    stay.

    Returns:
        ``module``.
    """
    if not isinstance(module, nn.Module):
        raise Unusable(f"expected an nn.Module, got {_kind(module)}")
    module.to(np.dtype(CASE_DTYPE.get()))
    for key, value in module.state_dict().items():
        if value.array.dtype.kind != "f":
            continue
        rng = np.random.default_rng([seed, crc32(key.encode())])
        draws: np.ndarray = np.asarray(rng.standard_normal(value.shape))
        if key.endswith("running_var"):
            draws = 0.5 + draws * draws
        elif value.ndim > 1:
            draws /= math.sqrt(math.prod(value.shape[1:]) or 1)
        elif key.endswith("weight"):
            draws = 1 + 0.3 * draws
        value.array[...] = draws
        value.mark_written()
    return module


def gradients(
    output: Any, inputs: Mapping[str, Any], seed: int, prefix: str = "gradient at ", tape: bool = True
) -> dict[str, Any]:
    """The gradients of sum(output * cotangent), with a random cotangent drawn from ``seed``.

    The graph is walked twice: a backward that writes into the cotangent, or into what forward saved, is detected.

    Args:
        output: a tensor, or a tuple of tensors that each get a cotangent.
        inputs: name -> leaf tensor.
        tape: whether to walk the graph; else ``output`` is one operation's, whose own backward is called.

    Returns:
        ``{prefix + name: gradient or None}``.

    Raises:
        Unusable: for an output that no gradient can be taken of, and for a backward that writes where it must not.
    """
    outputs = output if isinstance(output, (tuple, list)) else (output,)
    rng = np.random.default_rng([seed, 1])
    total: Any = 0
    cotangents = []
    for index, part in enumerate(outputs):
        if not isinstance(part, Tensor):
            raise Unusable(
                f"expected a Tensor, got {_kind(part)}" + (f" as output {index}" if len(outputs) > 1 else "")
            )
        if not part.requires_grad:
            raise Unusable(
                "the output does not depend on anything that requires grad: was the tape left (.detach, .array)?"
            )
        cotangents.append(rng.standard_normal(part.shape).astype(part.dtype))
        if tape:
            total = total + _Weighted.apply(part, cotangents[-1])
    pristine = [cotangent.copy() for cotangent in cotangents]
    first, second = (
        _backward(total, inputs) if tape else _backward_of_one(outputs[0], cotangents, inputs) for _ in range(2)
    )
    if not all(map(np.array_equal, cotangents, pristine)):
        raise Unusable("backward wrote into the cotangent it was given, which others may still need")
    for name, gradient in first.items():
        if gradient is not None and not np.array_equal(gradient.array, second[name].array, equal_nan=True):
            raise Unusable(
                f"a second backward through the same graph gave another gradient at {name}: "
                "the first one wrote into an array that forward had saved"
            )
    return {prefix + name: gradient for name, gradient in first.items()}


class _Weighted(Function):
    """sum(output * cotangent). Its backward hands on the cotangent itself, so that writing into it is noticed."""

    @staticmethod
    def forward(ctx: Any, output: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        ctx.save_for_backward(cotangent)
        return np.asarray((output * cotangent).sum(), output.dtype)

    @staticmethod
    def backward(ctx: Any, _: np.ndarray) -> tuple[np.ndarray, None]:
        (cotangent,) = ctx.saved_tensors
        return cotangent, None


def _backward(total: Tensor, inputs: Mapping[str, Any]) -> dict[str, Any]:
    for leaf in inputs.values():
        leaf.grad = None
    total.backward(retain_graph=True)
    return {name: None if leaf.grad is None else leaf.grad.detach() for name, leaf in inputs.items()}


def _backward_of_one(output: Tensor, cotangents: list[Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    node: Any = output.grad_fn
    with no_grad(), np.errstate(all="ignore"):
        results = node.run_backward(cotangents, retain_graph=True)
    by_edge = {edge: gradient for edge, gradient in zip(node.edges, results, strict=True) if gradient is not None}
    found = {name: by_edge.get(gradient_edge(leaf)) for name, leaf in inputs.items()}
    return {name: None if gradient is None else tensor(gradient.copy()) for name, gradient in found.items()}


@contextmanager
def plain_sampling() -> Iterator[None]:
    """Inside, NumPy samples for a deformable convolution; in a student's edition the student's code, run by Python.

    That it compiles is asked where it is written: to compile it for each check here would take minutes.
    """
    if not EDITION:
        with backend.use("reference"):
            yield
        return
    module = import_module("minicnn.backend.cpu.deformable")
    compiled = {name: each for name, each in vars(module).items() if hasattr(each, "py_func")}
    places = [vars(module), *(each.py_func.__globals__ for each in compiled.values())]
    try:
        for place in places:
            place.update({name: each.py_func for name, each in compiled.items()})
        yield
    finally:
        for place in places:
            place.update(compiled)


def raises(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """The name of the exception that a call raises, ``"nothing"`` if it raises none.

    The error of an unwritten hole is not caught.
    """
    try:
        function(*args, **kwargs)
    except NotImplementedError:
        raise
    except Exception as error:
        return type(error).__name__
    return "nothing"


def parameters(module: nn.Module) -> dict[str, str]:
    """``{key: shape}`` of all parameters and buffers, for checks of names and shapes."""
    if not isinstance(module, nn.Module):
        raise Unusable(f"expected an nn.Module, got {_kind(module)}")
    return {key: str(tuple(value.shape)) for key, value in module.state_dict().items()}


def _kind(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__}"


def dropping(training: Any, evaluation: Any, probability: float) -> dict[str, Any]:
    """What a dropout does to an output that it is the last step of, without saying to which values.

    Args:
        training, evaluation: the same output (N, ...) with dropout and without, of a hundred values or more an image.
        probability: with which a value should be dropped.
    """
    got, whole = (output.detach().numpy().astype(np.float64) for output in (training, evaluation))
    if got.shape != whole.shape:
        raise Unusable(f"the output has shape {got.shape} in training and {whole.shape} in evaluation")
    counts = np.abs(whole) > 1e-3
    factors = np.where(counts, got / np.where(counts, whole, 1), 0)
    stays = factors[counts] > 0.01
    kept = factors[counts][stays]
    mixed = [0 < (image[used] > 0.01).mean() < 1 for image, used in zip(factors, counts, strict=True)]
    maps = zip(factors.reshape(-1, factors.shape[-1]), counts.reshape(-1, counts.shape[-1]), strict=True)
    rows = [0 < (row[used] > 0.01).mean() < 1 for row, used in maps if used.any()]
    return {
        f"the share of values that stay is {1 - probability:.2f}, nearly": bool(
            abs(stays.mean() - (1 - probability)) < 0.12
        ),
        "factor of what stays": np.asarray(kept.mean() if kept.size else 0.0, dtype=np.float32),
        "all that stays has one factor": bool(kept.size and np.allclose(kept, kept.mean(), rtol=1e-2)),
        "values go one by one": bool(all(mixed) and np.mean(rows) > 0.5),
    }
