"""What a student's edition knows of the reference: its answers to the public cases, and sketches of wrong ones."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np

from ..answers import expected_outcomes, reference_seconds
from ..checks import Check, checks_of
from ..execution import CPU_SECONDS, REFERENCE_FACTOR, alike
from ..manifest import Homework, public_seed
from ..misconceptions import Mistake, mistakes
from ..naming import suspect_outcomes
from ..recorded import RIGHT, SUMS, sketch


@cache
def record(owner: Homework) -> dict[str, Any]:
    """The content of one file of ``recorded``; the homework's checks must have been defined.

    Raises:
        RuntimeError: if the reference fails a check.
    """
    planted = {task.id: [each for each in mistakes(owner.id) if each.task == task.id] for task in owner.tasks}
    checks = {check.name: _check(check, planted[task.id]) for task in owner.tasks for check in checks_of(task.id)}
    told = {task: [_told(mistake) for mistake in found] for task, found in planted.items()}
    return {"checks": checks, "mistakes": told}


def _check(check: Check, planted: list[Mistake]) -> dict[str, Any]:
    seed = public_seed()
    right = expected_outcomes(check, seed)
    digests = np.full((len(planted), len(right)), RIGHT, np.uint32)
    sums = np.zeros((len(planted), len(right), SUMS), np.float32)
    for number, mistake in enumerate(planted):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a mistake may well take the mean of nothing
            wrongs = suspect_outcomes((mistake,), check, seed)
        for case, (wrong, expected) in enumerate(zip(wrongs, right, strict=True)):
            if not alike([wrong], [expected]):
                digests[number, case], sums[number, case], _ = sketch(wrong, expected)
    took = reference_seconds(check, seed)
    matters = took * REFERENCE_FACTOR > CPU_SECONDS  # else it would be another edition every time
    return {
        "seconds": round(took, 1) if matters else 0.0,
        "answers": list(right),
        "sketches": {"digests": digests, "sums": sums},
    }


def _told(mistake: Mistake) -> dict[str, str]:
    return {"name": mistake.name, "diagnosis": mistake.diagnosis, "hint": mistake.hint}
