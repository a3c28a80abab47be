"""The name of a mistake: the planted mistake, or the mutant of the reference, that gives the very answers of a check.

A name is given only where one explanation fits every case of the check, and nothing else that is known does. Nothing
of the student's is run: the answers are those that judging has seen.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from .answers import expected_outcomes
from .checks import Check, checks_of
from .comparison import differences
from .execution import STOPPED, Failure, Name, Outcome, alike
from .misconceptions import Mistake, mistakes
from .mutation import Mutant, Wrong, mutants, outcome
from .survival import listed

SECONDS = 1.0  # to find a name in
CASE_SECONDS = 1.5  # for one candidate in one case; a chain of 10 000 operations takes a tenth of it
TELLING = 4  # numbers that must differ from the right ones for a mutant, or two mistakes together, to be named

Suspect = tuple[Wrong, ...]  # what may be wrong: one mistake, or two in different holes


def identify(
    check: Check,
    outcomes: Sequence[Outcome],
    seed: int = 0,
    others: Mapping[Check, Sequence[Outcome]] | None = None,
    seconds: float = SECONDS,
    by_mutants: bool = True,
) -> Name | None:
    """The name of the mistake behind a failed check, if what is known leaves just one.

    Args:
        outcomes: what the student's code did in every case of the check.
        seed: of the cases.
        others: the same for other checks of the task, as far as they are at hand. Those that pass refute names, and
            where several fit, all of them decide.
        seconds: when to give up.
        by_mutants: whether mutants may explain the answers, too, besides planted mistakes.
    """
    search = _Search(check, outcomes, seed, time.monotonic() + seconds)
    if search.first is None:
        return None
    fitting = list(search.fitting((mistake,) for mistake in _planted(check)))
    if by_mutants and (search.telling or fitting):
        fitting += search.fitting((mutant,) for mutant in _mutants(check))
    if not fitting and search.telling:
        fitting = list(search.fitting(_pairs(search)))
    if search.late and not (fitting and isinstance(fitting[0][0], Mistake)):
        return None
    return _name(_settled(fitting, check, seed, others or {}, search.deadline))


class _Search:
    """The failed check: which suspects give the answers that it got."""

    def __init__(self, check: Check, outcomes: Sequence[Outcome], seed: int, deadline: float) -> None:
        self.check, self.outcomes, self.seed, self.deadline = check, outcomes, seed, deadline
        self.late = False  # whether a search was given up
        right = expected_outcomes(check, seed)
        wrong = [
            n for n, (got, expected) in enumerate(zip(outcomes, right, strict=True)) if not alike([got], [expected])
        ]
        stopped = any(isinstance(got, Failure) and got.state in STOPPED for got in outcomes)
        self.first = None if stopped or not wrong else wrong[0]
        self.numbers = [*wrong, *(n for n in range(len(outcomes)) if n not in wrong)]
        self.telling = sum(_differing_numbers(outcomes[n], right[n]) for n in wrong) >= TELLING

    def fitting(self, suspects: Iterable[Suspect]) -> Iterator[Suspect]:
        """Those that answer alike in every case, found by the first wrong one."""
        for suspect in suspects:
            if time.monotonic() > self.deadline:
                self.late = True
                return
            if all(
                alike([suspect_outcome(suspect, self.check, n, self.seed)], [self.outcomes[n]]) for n in self.numbers
            ):
                yield suspect


def _planted(check: Check) -> list[Mistake]:
    return [mistake for mistake in mistakes(check.homework.id) if mistake.task == check.task_id]


def _mutants(check: Check) -> Iterator[Mutant]:
    skipped = listed(check.homework, "equivalent").keys() | listed(check.homework, "slow").keys()
    return (mutant for hole in check.task.holes for mutant in mutants(hole) if str(mutant) not in skipped)


def _pairs(search: _Search) -> Iterator[Suspect]:
    """Planted mistakes in different holes, both of which change the first wrong case."""
    check, first = search.check, search.first
    assert first is not None
    right = expected_outcomes(check, search.seed)[first]
    felt = [m for m in _planted(check) if not alike([suspect_outcome((m,), check, first, search.seed)], [right])]
    return ((one, two) for one, two in combinations(felt, 2) if one.hole != two.hole)


@lru_cache(maxsize=2_000)
def suspect_outcome(suspect: Suspect, check: Check, number: int, seed: int) -> Outcome:
    """What the reference with the suspected mistakes in it does in one case."""
    return outcome(suspect, check, _cases(check, seed)[number], CASE_SECONDS)


@lru_cache
def _cases(check: Check, seed: int) -> list[dict[str, Any]]:
    return check.draw(seed)


def suspect_outcomes(suspect: Suspect, check: Check, seed: int) -> list[Outcome]:
    """The same for all cases of a check."""
    return [suspect_outcome(suspect, check, number, seed) for number in range(len(_cases(check, seed)))]


def _settled(
    fitting: list[Suspect], check: Check, seed: int, others: Mapping[Check, Sequence[Outcome]], deadline: float
) -> Suspect | None:
    """The one explanation among those that fit the check; None if there are several.

    A check that the student passes refutes what would fail it. Where several are left, the others must fit too. Those
    that no check of the task tells apart are one, and the first speaks for them.
    """
    for other, outcomes in others.items():
        if other is check or any(isinstance(o, Failure) and o.state in STOPPED for o in outcomes):
            continue
        if alike(outcomes, expected_outcomes(other, seed)) or len({_meaning(suspect) for suspect in fitting}) > 1:
            fitting = [suspect for suspect in fitting if alike(outcomes, suspect_outcomes(suspect, other, seed))]
    if not fitting:
        return None
    first, *rest = fitting
    for suspect in rest:
        if _meaning(suspect) != _meaning(first) and not _same_everywhere(first, suspect, check, seed, deadline):
            return None
    return first


def _same_everywhere(one: Suspect, other: Suspect, check: Check, seed: int, deadline: float) -> bool:
    for each in checks_of(check.task_id):
        for number in range(len(_cases(each, seed))):
            if time.monotonic() > deadline:
                return False
            if not alike(*([suspect_outcome(suspect, each, number, seed)] for suspect in (one, other))):
                return False
    return True


def _meaning(suspect: Suspect) -> object:
    return tuple(
        wrong.name if isinstance(wrong, Mistake) else (wrong.hole, wrong.kind, wrong.sentence) for wrong in suspect
    )


def _name(suspect: Suspect | None) -> Name | None:
    if suspect is None:
        return None
    if not all(isinstance(wrong, Mistake) for wrong in suspect):
        (mutant,) = suspect
        assert isinstance(mutant, Mutant)
        slug = re.sub(r"[^a-z0-9]+", "-", mutant.sentence.lower()).strip("-")
        return Name(slug, f"The answers are as if, in {mutant.hole.qualname}, {mutant.sentence}.", "", planted=False)
    planted = [wrong for wrong in suspect if isinstance(wrong, Mistake)]
    diagnosis, hint = (" ".join(getattr(mistake, part) for mistake in planted) for part in ("diagnosis", "hint"))
    return Name(" + ".join(mistake.name for mistake in planted), diagnosis, hint, planted=True)


def _differing_numbers(got: Outcome, right: Outcome) -> int:
    """How many different floating-point numbers are wrong in a case: what a coincidence would have to hit."""
    if isinstance(got, Failure) or isinstance(right, Failure):
        return 0
    names = [difference.name for difference in differences(got, right)]
    arrays = [np.asarray(got[name]) for name in names if name in got and got[name] is not None]
    return sum(len(np.unique(array)) for array in arrays if array.dtype.kind == "f")
