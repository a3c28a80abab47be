"""Answers: what a driver gave, as arrays, numbers and strings with names; and what differs between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import Tensor
from ..autograd.diagnosis import diagnose

# An array keeps its dtype, which is compared. A number is a number, whether it is Python's or NumPy's.
Answer = np.ndarray | int | float | tuple[int | float, ...] | str | None
Answers = dict[str, Answer]

# How far two right roads may lie apart: another order of summation, another algorithm. Relative to the entry, and to
# the largest entry of the array.
TOLERANCES = {"float64": (1e-7, 1e-9), "float32": (1e-3, 1e-4)}
LARGE = 2**22  # entries: what was meant by a wrong shape is looked for in smaller arrays only
NOTHING = {"float64": 1e-12, "float32": 1e-6}  # what counts as zero where the right answer is zero everywhere


@dataclass(frozen=True)
class Difference:
    """One answer that is not the expected one. ``text`` says how; it may have several lines."""

    name: str
    text: str


def as_answers(value: Any) -> Answers:
    """What a driver returned, flattened: dicts and lists become ``name``, ``name[0]`` ...

    Raises:
        TypeError: for a value that may not cross to another process.
    """
    return dict(_flatten("", value))


def _flatten(name: str, value: Any) -> Iterator[tuple[str, Answer]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flatten(f"{name}, {key}" if name else str(key), part)
    elif isinstance(value, (list, tuple)) and not all(map(_is_number, value)):
        yield f"length of {name or 'the answer'}", len(value)
        for index, part in enumerate(value):
            yield from _flatten(f"{name or 'answer'}[{index}]", part)
    else:
        yield name or "answer", _leaf(name, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.bool_, np.integer, np.floating))


def _leaf(name: str, value: Any) -> Answer:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(_number(part) for part in value)
    if _is_number(value):
        return _number(value)
    if isinstance(value, Tensor):
        value = value.detach().cpu().array
    array = np.array(value)  # a copy: what is kept cannot be written into later
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name or 'the answer'}: expected numbers, strings or tensors, got {type(value).__name__}")
    return array


def _number(value: Any) -> int | float:
    return value.item() if isinstance(value, np.generic) else value


def differences(got: Answers, expected: Answers) -> list[Difference]:
    """What is wrong in ``got``, in the order of ``expected``; empty if nothing is."""
    found = []
    for name, right in expected.items():
        if name not in got:
            found.append(Difference(name, f"is missing; expected {describe(right)}"))
        elif text := _difference(got[name], right):
            found.append(Difference(name, text))
    for name in got.keys() - expected.keys():
        found.append(Difference(name, "should not be there"))
    return found


def same(got: Answers, expected: Answers) -> bool:
    """Whether two drivers answered alike."""
    return got.keys() == expected.keys() and not any(_difference(got[name], expected[name]) for name in expected)


def describe(answer: Answer) -> str:
    """An answer in a few words."""
    if answer is None or isinstance(answer, str):
        return repr(answer)
    array = np.asarray(answer)
    if array.ndim == 0:
        return f"{array.item():.10g}" if array.dtype.kind == "f" else str(array.item())
    if array.ndim == 1 and array.size <= 6:
        return np.array2string(array, precision=6, separator=", ")
    return f"an array of shape {array.shape}"


def _difference(got: Answer, right: Answer) -> str:
    """How ``got`` differs from ``right``; empty if it does not."""
    if any(answer is None or isinstance(answer, str) for answer in (got, right)):
        return "" if type(got) is type(right) and got == right else f"got {describe(got)}, expected {describe(right)}"
    numbers, expected = np.asarray(got), np.asarray(right)
    if numbers.shape != expected.shape:
        return _shapes_differ(numbers, expected)
    # A wrong dtype is mentioned where the numbers are right: "got 3.0, expected 4" says more.
    both_arrays = isinstance(got, np.ndarray) and isinstance(right, np.ndarray)
    return _values_differ(numbers, expected) or _dtypes_differ(numbers.dtype, expected.dtype, both_arrays)


def _shapes_differ(got: np.ndarray, right: np.ndarray) -> str:
    report = diagnose(got.astype(float), right.astype(float)).pattern if 0 < got.size < LARGE and right.size else ""
    pattern = f"\n{report}" if report and "has shape" not in report else ""
    return f"got shape {got.shape}, expected {right.shape}{pattern}"


def _values_differ(got: np.ndarray, right: np.ndarray) -> str:
    if right.dtype.kind == "f":
        return _float_difference(got.astype(np.float64), right.astype(np.float64), precision(got, right))
    if np.array_equal(got, right):
        return ""
    if right.ndim == 0:
        return f"got {describe(got)}, expected {describe(right)}"
    index = tuple(int(i) for i in np.argwhere(got != right)[0])
    return f"entry {list(index)}: got {got[index]}, expected {right[index]} ({_share(got != right)})"


def _dtypes_differ(got: np.dtype, right: np.dtype, both_arrays: bool) -> str:
    """Where a float stands in the place of an integer; among arrays also another kind, or another float."""
    if not both_arrays:
        return "got a float, expected an integer: the number is right" if got.kind == "f" != right.kind else ""
    kind, expected_kind = ("i" if dtype.kind == "u" else dtype.kind for dtype in (got, right))  # any integer will do
    if kind == expected_kind and (kind != "f" or got == right):
        return ""
    return f"got dtype {got}, expected {right}: the numbers are right"


def tolerances(right: np.ndarray, precision: str) -> tuple[float, float]:
    """How far a number may lie from the right one: relative to it, and at least."""
    rtol, of_largest = TOLERANCES[precision]
    largest = float(np.abs(right[np.isfinite(right)]).max(initial=0))
    return rtol, max(of_largest * largest, NOTHING[precision])


def _float_difference(got: np.ndarray, right: np.ndarray, precision: str) -> str:
    rtol, atol = tolerances(right, precision)
    finite = np.isfinite(right)
    wrong = ~np.isclose(got, right, rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return ""
    if right.ndim == 0:
        return f"got {float(got):.10g}, expected {float(right):.10g}"
    if not finite.all():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        return f"entry {list(index)}: got {got[index]:.10g}, expected {right[index]:.10g} ({_share(wrong)})"
    report = diagnose(got, right, name="", atol=atol, rtol=rtol)
    return str(report).removeprefix(": ")


def precision(*arrays: np.ndarray) -> str:
    """The coarser of the arrays' precisions: a single float32 step on the way shows in the result."""
    return "float64" if all(array.dtype.kind != "f" or array.dtype.itemsize >= 8 for array in arrays) else "float32"


def _share(wrong: np.ndarray) -> str:
    return f"{int(wrong.sum())} of {wrong.size} entries wrong"
