"""What a student's edition has in the place of the reference: its answers to the public cases, and how to recognise
the planted mistakes by theirs.

Of a mistake's answers only a *sketch* is kept for each case: a digest of what must be equal (names, shapes, dtypes,
integers, texts), and two sums of all floats with random weights. A sketch is enough to recognise answers, and too
little to read any from it.
"""

from __future__ import annotations

import io
import lzma
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from ..serialization.atomic import replacing
from .checks import Check
from .comparison import Answers, precision, tolerances
from .execution import STOPPED, Failure, Name, Outcome, alike
from .manifest import public_seed
from .wire import receive, send

FOLDER = Path(__file__).parent / "recorded"
RIGHT = 0  # in the place of a digest: the answers are the reference's
SUMS = 2
LARGEST = 1e38  # that float32 holds


class Sketch(NamedTuple):
    """What is kept of one outcome; ``reach`` is how far the sums of equal answers may lie apart."""

    digest: int
    sums: np.ndarray
    reach: np.ndarray


def sketch(outcome: Outcome, right: Answers) -> Sketch:
    """The sketch of what an implementation did in a case; answers are measured by those of the reference."""
    if isinstance(outcome, Failure):
        parts: list[Any] = [str(outcome.state), outcome.kind, outcome.text]
        return Sketch(_digest(parts), np.zeros(SUMS), np.zeros(SUMS))
    parts, sums, reach = [], np.zeros(SUMS), np.zeros(SUMS)
    for name in sorted(outcome):
        answer = outcome[name]
        if answer is None or isinstance(answer, str):
            parts += [name, answer]
            continue
        array = np.asarray(answer)
        parts += [name, array.shape, str(array.dtype) if isinstance(answer, np.ndarray) else array.dtype.kind]
        if array.dtype.kind != "f":
            parts.append(array.astype(np.int64).tobytes())
            continue
        values, finite = array.astype(np.float64).ravel(), np.isfinite(array).ravel()
        parts.append(np.where(finite, 0, values).tobytes())
        values = np.where(finite, values, 0)
        weights = np.random.default_rng(crc32(name.encode())).standard_normal((SUMS, values.size)) / _size(right, name)
        rtol, atol = tolerances(values, precision(array))
        sums += weights @ values
        reach += np.abs(weights) @ (rtol * np.abs(values) + atol)
    return Sketch(_digest(parts), np.clip(sums, -LARGEST, LARGEST), reach)


def _size(right: Answers, name: str) -> float:
    """The largest number in an answer of the reference, 1 where there is none."""
    answer = right.get(name)
    numbers = np.asarray(0.0 if answer is None or isinstance(answer, str) else answer, dtype=np.float64)
    return float(np.abs(numbers[np.isfinite(numbers)]).max(initial=0)) or 1.0


def _digest(parts: Sequence[Any]) -> int:
    return crc32(repr(parts).encode(errors="backslashreplace")) or 1


def write(homework: str, content: Mapping[str, Any], folder: Path) -> Path:
    """Write the answers of a homework, as ``release.recording`` makes them, into ``folder``."""
    plain = io.BytesIO()
    send(plain, dict(content))
    path = folder / f"{homework}.xz"
    with replacing(path) as temporary:
        Path(temporary).write_bytes(lzma.compress(plain.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    return path


@cache
def _read(homework: str) -> Any:
    return receive(io.BytesIO(lzma.decompress((FOLDER / f"{homework}.xz").read_bytes())))


def _of(check: Check) -> Any:
    return _read(check.homework.id)["checks"][check.name]


def expected_outcomes(check: Check, seed: int) -> tuple[Any, ...]:
    """What the reference answered, case by case.

    Raises:
        ValueError: for another seed than that of the public cases.
    """
    if seed != public_seed():
        raise ValueError(f"this edition knows the answers to the cases of seed {public_seed()} only, got {seed}")
    return tuple(_of(check)["answers"])


def reference_seconds(check: Check, seed: int) -> float:
    """How long the reference computed for all cases, where the answers were recorded."""
    return float(_of(check)["seconds"])


def identify(
    check: Check, outcomes: Sequence[Outcome], seed: int, others: Mapping[Check, Sequence[Outcome]]
) -> Name | None:
    """The planted mistake that gives the very answers of a failed check, if there is just one.

    Args:
        others: what the student's code did in other checks of the task: what does not fit them is refuted.
    """
    if any(isinstance(outcome, Failure) and outcome.state in STOPPED for outcome in outcomes):
        return None
    fitting = set(_fitting(check, outcomes, seed))
    for other, theirs in others.items():
        if other is check or any(isinstance(each, Failure) and each.state in STOPPED for each in theirs):
            continue
        if alike(theirs, expected_outcomes(other, seed)) or len(fitting) > 1:
            fitting &= set(_fitting(other, theirs, seed))
    kept = [_of(each)["sketches"] for each in (check, *(other for other in others if other is not check))]
    if len({_record(kept, number) for number in fitting}) != 1:
        return None
    known = _read(check.homework.id)["mistakes"][check.task_id][min(fitting)]
    return Name(known["name"], known["diagnosis"], known["hint"], planted=True)


def _record(kept: Sequence[Any], number: int) -> bytes:
    """All that is known of a mistake: those for which it is the same are one."""
    return b"".join(sketches[key][number].tobytes() for sketches in kept for key in ("digests", "sums"))


def _fitting(check: Check, outcomes: Sequence[Outcome], seed: int) -> Iterator[int]:
    """The numbers of the planted mistakes that answer every case of a check like this."""
    right, recorded = expected_outcomes(check, seed), _of(check)["sketches"]
    if alike(outcomes, right):
        felt = np.flatnonzero((recorded["digests"] == RIGHT).all(axis=1))
        yield from map(int, felt)
        return
    seen = [
        None if alike([got], [expected]) else sketch(got, expected)
        for got, expected in zip(outcomes, right, strict=True)
    ]
    for number, (digests, sums) in enumerate(zip(recorded["digests"], recorded["sums"], strict=True)):
        if all(map(_fits, seen, digests, sums)):
            yield number


def _fits(seen: Sketch | None, digest: int, sums: np.ndarray) -> bool:
    if seen is None or digest == RIGHT:
        return seen is None and digest == RIGHT
    rounding = np.finfo(np.float32).eps * np.abs(seen.sums)
    return bool(seen.digest == digest and (np.abs(seen.sums - sums) <= seen.reach + rounding).all())
