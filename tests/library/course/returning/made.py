"""A made-up folder of grades, as ``minicnn grade`` writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minicnn.course.manifest import homework
from minicnn.course.returning.grades import Grades, read

SECRET = "3.14159265358979"  # a value of a hidden case
OWNER = homework("hw4")


def check(name: str, state: str = "PASS", points: int = 4, **more: Any) -> dict[str, Any]:
    earned = points if state == "PASS" else 0
    empty = {"hidden": False, "message": "", "case": None, "mistake": None, "blocked_by": None}
    return {
        "test": name,
        "property": f"what {name} is about",
        "points": earned,
        "max_points": points,
        "state": state,
        **empty,
        **more,
    }


def result(student: str, checks: Sequence[Mapping[str, Any]] = (), **more: Any) -> dict[str, Any]:
    """A result: hw4.1 has the checks given, all other tasks pass."""
    tasks = []
    for task in OWNER.tasks:
        own = list(checks) if task.id == "hw4.1" and checks else [check(f"test_{task.id[-1]}", points=task.points)]
        states = [each["state"] for each in own]
        state = next((state for state in states if state != "PASS"), "PASS")
        points = sum(each["points"] for each in own)
        tasks.append(
            {
                "id": task.id,
                "title": task.title,
                "points": points,
                "max_points": task.points,
                "state": state,
                "checks": own,
            }
        )
    submission = {
        "digest": "d" * 64,
        "submitted_at": "2026-10-01T12:00:00+02:00",
        "source": f"{student}.zip",
        "notes": [],
        "flags": [],
    }
    return {
        "schema": "minicnn/grade/1",
        "homework": "hw4",
        "title": OWNER.title,
        "minicnn": "0.1",
        "sandbox": "bubblewrap",
        "key": "a" * 64,
        "student": {"id": student, "name": student.title(), "ids": {"email": f"{student}@example.edu"}},
        "submission": submission | more.pop("submission", {}),
        "points": sum(task["points"] for task in tasks),
        "max_points": 100,
        "seconds": 1.5,
        "tasks": tasks,
        "own_stack": None,
        **more,
    }


def hidden(name: str = "test_hidden") -> dict[str, Any]:
    """A check that failed on hidden cases, by a grader that forgot to leave its values out."""
    return check(name, "WRONG", hidden=True, case=7, message=f"expected {SECRET} at [0, 1]")


def folder(root: Path, results: Sequence[dict[str, Any]], **more: Any) -> Path:
    """Write the folder; ``more`` stands in ``batch.json``."""
    (root / "results").mkdir(parents=True, exist_ok=True)
    graded = {}
    for each in results:
        student = each["student"]["id"]
        graded[student] = f"results/{student}--{each['key'][:12]}.json"
        (root / graded[student]).write_text(json.dumps(each), encoding="utf-8")
    batch = {
        "schema": "minicnn/grade-batch/1",
        "homework": "hw4",
        "title": OWNER.title,
        "max_points": 100,
        "variant": "",
        "sandbox": "bubblewrap",
        "case_seeds": {"public": 0, "hidden": True},
        "void": "",
        "graded": graded,
        "refused": [],
        "infrastructure": [],
        "missing": [],
    }
    (root / "batch.json").write_text(json.dumps(batch | more), encoding="utf-8")
    return root


def grades(root: Path, results: Sequence[dict[str, Any]], **more: Any) -> Grades:
    return read(folder(root, results, **more))
