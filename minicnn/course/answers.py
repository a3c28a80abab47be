"""The right answers to the cases, and the names of wrong ones: by the reference, or in a student's edition as recorded.

The full library computes both when they are asked for; a student's edition has no reference (``recorded.py``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from .checks import Check
from .edition import EDITION
from .execution import Failure, Name, Outcome, execute
from .loading import reference_modules

WARM_SECONDS = 0.5  # a reference that computes longer may have compiled


def expected_outcomes(check: Check, seed: int) -> tuple[Any, ...]:
    """What the reference answers, case by case.

    Raises:
        RuntimeError: if the reference fails: the check itself is at fault.
        ValueError: in a student's edition, for another seed than that of its cases.
    """
    if EDITION:
        from . import recorded

        return recorded.expected_outcomes(check, seed)
    return _reference_run(check, seed)[0]


def reference_seconds(check: Check, seed: int) -> float:
    """How long the reference computes for all cases."""
    if EDITION:
        from . import recorded

        return recorded.reference_seconds(check, seed)
    return _reference_run(check, seed)[1]


def identify(
    check: Check, outcomes: Sequence[Outcome], seed: int, others: Mapping[Check, Sequence[Outcome]]
) -> Name | None:
    """The name of the mistake behind a failed check, by what was done in all its cases, and in those of ``others``."""
    if EDITION:
        from . import recorded

        return recorded.identify(check, outcomes, seed, others)
    from . import naming

    return naming.identify(check, outcomes, seed, others)


@cache
def _reference_run(check: Check, seed: int) -> tuple[tuple[Any, ...], float]:
    outcomes, seconds = _timed_reference(check, seed)
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, Failure):
            raise RuntimeError(f"the reference fails {check.name}, case {number}: {outcome.kind}: {outcome.text}")
    if seconds > WARM_SECONDS:
        seconds = min(seconds, _timed_reference(check, seed)[1])
    return outcomes, seconds


def _timed_reference(check: Check, seed: int) -> tuple[tuple[Outcome, ...], float]:
    modules, cases = reference_modules(check.homework), check.draw(seed)
    started = time.process_time()
    return tuple(execute(check, modules, case) for case in cases), time.process_time() - started
