"""Which mutants the checks of their task let live, and which of those are no mistakes.

``equivalent/hwN.toml`` lists the mutants that do what the reference does, as far as its docstring promises anything::

    [[equivalent]]
    hole = "products:Mul.forward"
    why = "what nobody needs is saved too"
    mutants = ["b if wants_a else None -> b"]
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .checks import Case, Check, checks_of
from .judging import alike, expected_outcomes
from .manifest import Homework, ManifestError, Task
from .mutation import Mutant, mutants, outcome

FOLDER = Path(__file__).parent / "equivalent"
SECONDS = 2.0  # of computing for one case; a mutant that needs more is dead
SEED = 0


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
def equivalents(homework: Homework) -> dict[str, str]:
    """``str(mutant)`` -> why it is no mistake.

    Raises:
        ManifestError: for an entry that is no mutant of the homework (any more).
    """
    path = FOLDER / f"{homework.id}.toml"
    if not path.exists():
        return {}
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["equivalent"]
    listed = {f"{entry['hole']}: {key}": entry["why"] for entry in entries for key in entry["mutants"]}
    known = {str(mutant) for hole in homework.holes() for mutant in mutants(hole)}
    if unknown := sorted(listed.keys() - known):
        raise ManifestError(f"{path.name}: no mutants: {unknown}")
    return listed


def survey(homework: Homework, chosen: Iterable[Mutant], tell: Callable[[Mutant], None] = lambda mutant: None) -> Survey:
    """Try mutants on the checks of their tasks. ``tell`` is called after each one."""
    tasks = {hole: task for task in homework.tasks for hole in task.holes}
    tried, alive = [], []
    for mutant in chosen:
        tried.append(mutant)
        if not is_caught(mutant, tasks[mutant.hole]):
            alive.append(mutant)
        tell(mutant)
    listed = equivalents(homework)
    return Survey(
        tuple(tried),
        tuple(mutant for mutant in alive if str(mutant) in listed),
        tuple(mutant for mutant in alive if str(mutant) not in listed),
        tuple(mutant for mutant in tried if str(mutant) in listed and mutant not in alive),
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
