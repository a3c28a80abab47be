"""What the grader writes has the form that docs/grade.schema.json describes, and that form excludes something."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import jsonschema
import pytest
from referencing import Registry, Resource

from minicnn.cli.grade import _content
from minicnn.course.checks import define
from minicnn.course.execution import State
from minicnn.course.grading.batch import Batch, Terms
from minicnn.course.grading.records import path, result
from minicnn.course.grading.roster import Roster, Student
from minicnn.course.grading.submissions import Submission
from minicnn.course.manifest import homework
from minicnn.course.results import CheckResult

from .returning import made

DOCS = Path(__file__).resolve().parents[3] / "docs"
SCHEMAS = {name: json.loads((DOCS / name).read_text()) for name in ("grade.schema.json", "result.schema.json")}
SCHEMA = SCHEMAS["grade.schema.json"]
_resources = [Resource.from_contents(schema) for schema in SCHEMAS.values()]
_there = SCHEMA["$id"].rpartition("/")[0]
REGISTRY = Registry().with_resources(zip([SCHEMA["$id"], f"{_there}/result.schema.json"], _resources, strict=True))
VALID = jsonschema.Draft202012Validator(SCHEMA, registry=REGISTRY)

OWNER = homework("hw4")
NAME = "0123456789ab" + "c" * 52
ADA = Submission(
    "ada",
    {"resnet.py": b"x = 1\n"},
    "Ada",
    {"email": "ada@example.edu"},
    "2026-10-01T12:00:00+02:00",
    "ada.zip",
    ("odd",),
)


@pytest.fixture(scope="module")
def graded():
    """A result with every state, as the grader makes it."""
    define(DOCS.parent / OWNER.tests)
    checks = [
        CheckResult(
            "hw4.1", f"test_{number}", "the sum", 0, 1, str(state), "told", 0, "add-relu", "hw4.1", number % 2 == 0
        )
        for number, state in enumerate(State)
    ]
    return result(ADA, OWNER, checks, NAME, "landlock", 1.234)


@pytest.fixture
def batch():
    made = Batch({"ada": path(Path(), ADA, NAME).as_posix()}, {"ben": "OSError: no space left"})
    found = [ADA, Submission("fay", source="fay.zip", refused="it holds no file")]
    roster = Roster((Student("ada"), Student("gus")))
    return _content(made, found, OWNER, Terms(DOCS.parent, "hw4", "autumn-2026", 5), "bubblewrap", roster)


def test_the_schemas_are_schemas():
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_a_result_is_valid(graded):
    VALID.validate(graded)
    assert {check["state"] for task in graded["tasks"] for check in task["checks"]} == set(map(str, State))


def test_a_batch_is_valid(batch):
    VALID.validate(batch)
    assert (batch["missing"], batch["refused"][0]["student"]) == (["gus"], "fay")
    assert batch["case_seeds"]["public"] != 0, "the variant has cases of its own"


def test_what_the_tests_of_exports_read_is_valid(tmp_path):
    made.folder(tmp_path, [made.result("ada", [made.hidden(), made.check("b")])])
    for written in tmp_path.rglob("*.json"):
        VALID.validate(json.loads(written.read_text()))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (["points"], 101),
        (["sandbox"], "trust me"),
        (["key"], "abc"),
        (["student", "id"], "../ada"),
        (["submission", "submitted_at"], "yesterday"),
        (["tasks", 0, "checks", 0, "hidden"], None),
        (["tasks", 0, "checks", 0, "state"], "FINE"),
        (["own_stack"], {"points": 3}),
    ],
)
def test_what_is_no_result_is_refused(graded, where, value):
    changed = copy.deepcopy(graded)
    *above, last = where
    place = changed
    for key in above:
        place = place[key]
    place[last] = value
    assert not VALID.is_valid(changed)


@pytest.mark.parametrize(
    "change", [{"graded": {"ada": "../x.json"}}, {"missing": [1]}, {"refused": [{"student": "fay"}]}, {"void": None}]
)
def test_what_is_no_batch_is_refused(batch, change):
    assert not VALID.is_valid({**batch, **change})


@pytest.mark.parametrize("key", ["schema", "variant", "case_seeds", "infrastructure"])
def test_nothing_of_a_batch_may_be_missing(batch, key):
    del batch[key]
    assert not VALID.is_valid(batch)
