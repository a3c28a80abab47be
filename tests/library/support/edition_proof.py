"""Run by a student's edition: its checks on files that were handed in, judged by its recorded answers.

``python edition_proof.py HOMEWORK TESTS FOLDER [FOLDER=TASK ...]``: each folder holds ``hwN_topic``; with ``=TASK``
only the checks of that task run. A line of JSON for each folder: ``{check: [state, points, name of the mistake]}``.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from minicnn.course.adoption import adopt
from minicnn.course.answers import identify
from minicnn.course.checks import checks_of, define
from minicnn.course.execution import execute
from minicnn.course.judging import conclude
from minicnn.course.loading import student_modules
from minicnn.course.manifest import homework, public_seed


def main(name: str, tests: str, *folders: str) -> None:
    owner, seed = homework(name), public_seed()
    define(Path(tests))
    for folder, _, task in (each.partition("=") for each in folders):
        modules = student_modules(owner, Path(folder))
        for stem, module in modules.items():
            if isinstance(module, ModuleType):
                adopt(import_module(owner.modules[stem]), module, owner.holes(stem))
        found = {}
        for each in owner.tasks:
            if task in ("", each.id):
                checks = checks_of(each.id)
                outcomes = {check: [execute(check, modules, case) for case in check.draw(seed)] for check in checks}
                for check, ran in outcomes.items():
                    verdict = conclude(check, dict(enumerate(ran)), Path(folder), seed)
                    known = None if verdict.points else identify(check, ran, seed, outcomes)
                    found[check.name] = [verdict.state, verdict.points, known and known.name]
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
