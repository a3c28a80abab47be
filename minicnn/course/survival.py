"""Which mutants the checks of their task let live, and which of those are no mistakes.

``equivalent/hwN.toml`` lists the mutants that do what the reference does, as far as its docstring promises anything::

    [[equivalent]]
    hole = "products:Mul.forward"
    why = "what is not needed is saved too"
    mutants = ["b if wants_a else None -> b"]

and, as ``[[slow]]``, those that need more time or memory than there is: they are not run.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .answers import expected_outcomes
from .checks import Case, Check, checks_of
from .execution import alike
from .manifest import Homework, Task
from .mutation import Mutant, mutants, outcome

FOLDER = Path(__file__).parent / "equivalent"
SECONDS = 2.0  # of computing for one case; a mutant that needs more is dead
SEED = 0
GOAL = 0.97  # of the mutants that are mistakes, for each homework


@dataclass(frozen=True)
class Survey:
    """The mutants of a homework that were tried, and what became of them."""

    tried: tuple[Mutant, ...]
    equivalent: tuple[Mutant, ...]  # listed as such, and alive
    survivors: tuple[Mutant, ...]  # alive, and not listed
    wrongly_listed: tuple[Mutant, ...]  # listed, and killed

    @property
    def killed(self) -> int:
        return len(self.tried) - len(self.equivalent) - len(self.survivors)

    @property
    def share(self) -> float:
        """Killed of those that are mistakes."""
        mistakes = len(self.tried) - len(self.equivalent)
        return self.killed / mistakes if mistakes else 1.0


@lru_cache
def listed(homework: Homework, what: str) -> dict[str, str]:
    """``str(mutant)`` -> why it is ``"equivalent"``, or ``"slow"``."""
    path = FOLDER / f"{homework.id}.toml"
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get(what, []) if path.exists() else []
    return {f"{entry['hole']}: {key}": entry["why"] for entry in entries for key in entry["mutants"]}


def stale(homework: Homework) -> list[str]:
    """What is listed and is no mutant (any more)."""
    known = {str(mutant) for hole in homework.holes() for mutant in mutants(hole)}
    return sorted((listed(homework, "equivalent").keys() | listed(homework, "slow").keys()) - known)


def survey(
    homework: Homework, chosen: Iterable[Mutant], tell: Callable[[Mutant], None] = lambda mutant: None
) -> Survey:
    """Try mutants on the checks of their tasks. ``tell`` is called after each one. Slow ones count as killed."""
    equivalent, slow = listed(homework, "equivalent"), listed(homework, "slow")
    tasks = {hole: task for task in homework.tasks for hole in task.holes}
    tried, alive = [], []
    for mutant in chosen:
        tried.append(mutant)
        if str(mutant) not in slow and not is_caught(mutant, tasks[mutant.hole]):
            alive.append(mutant)
        tell(mutant)
    return Survey(
        tuple(tried),
        tuple(mutant for mutant in alive if str(mutant) in equivalent),
        tuple(mutant for mutant in alive if str(mutant) not in equivalent),
        tuple(mutant for mutant in tried if str(mutant) in equivalent and mutant not in alive),
    )


def is_caught(mutant: Mutant, task: Task) -> bool:
    """Whether a check of its task notices, the quickest cases first."""
    return any(
        not alike([outcome([mutant], check, case, SECONDS)], [expected_outcomes(check, SEED)[number]])
        for check, number, case in _quickest_first(task)
    )


@lru_cache
def _quickest_first(task: Task) -> list[tuple[Check, int, Case]]:
    timed = []
    for check in checks_of(task.id):
        started = time.perf_counter()
        expected_outcomes(check, SEED)
        seconds = time.perf_counter() - started
        timed += [(seconds, number, check, case) for number, case in enumerate(check.draw(SEED))]
    timed.sort(key=lambda entry: entry[:2])
    return [(check, number, case) for _, number, check, case in timed]
