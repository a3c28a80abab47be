"""Names of mistakes: planted ones, two together, those that a mutant explains, and no name where nothing is sure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicnn.cli.course import load_checks
from minicnn.course import misconceptions
from minicnn.course.answers import expected_outcomes
from minicnn.course.checks import Check, checks_of
from minicnn.course.execution import Failure, Name, State, alike
from minicnn.course.manifest import Hole, homework
from minicnn.course.misconceptions import Mistake, mistakes
from minicnn.course.naming import identify, suspect_outcomes

ROOT = Path(__file__).resolve().parents[3]


def check_called(name: str) -> Check:
    return next(c for task in homework("hw9").tasks for c in checks_of(task.id) if c.name == name)


def student(qualname: str, body: str, check: Check) -> Any:
    """What somebody answers who wrote ``body`` into a hole of the toy."""
    hole = next(hole for hole in homework("hw9").holes() if hole.qualname == qualname)
    return suspect_outcomes((Mistake(hole.task, "somebody's", "", "", hole, (), body),), check, 0)


def name_of(test: str, qualname: str, body: str, *others: str) -> Name | None:
    check = check_called(test)
    at_hand = {check_called(other): student(qualname, body, check_called(other)) for other in others}
    return identify(check, student(qualname, body, check), others=at_hand)


def test_a_planted_mistake_is_named_check_by_check(course):
    body = "return x * x if np.ndim(x) else 7 * x"
    found = name_of("test_double", "double", body)
    assert found is not None and found.planted and found.name == "squared" and found.hint
    assert name_of("test_double_of_integers", "double", body) is None


def test_a_check_that_passes_refutes_a_name(course):
    body = "return x * x if np.ndim(x) else 2 * x"
    assert name_of("test_double", "double", body).name == "squared"
    assert name_of("test_double", "double", body, "test_double_of_integers") is None


def test_a_mutant_gives_a_name_that_nobody_planted(course):
    found = name_of("test_double", "double", "return np.add(x, np.asarray(2, np.asarray(x).dtype))")
    assert found is not None and not found.planted
    assert found.diagnosis == "The answers are as if, in double, an addition stood where a multiplication belongs."
    assert "2 +" not in found.diagnosis and found.name == "an-addition-stood-where-a-multiplication-belongs"


def test_integers_alone_say_too_little_for_a_mutant(course):
    assert name_of("test_double_of_integers", "double", "return x + 2") is None


ANOTHER = """
[[mistake]]
task = "hw9.4"
name = "factor-doubled"
diagnosis = "The factor is doubled."
hint = "Once."
hole = "toy:Scale.__init__"
edits = [["= factor", "= 2 * factor"]]
"""


def test_two_mistakes_in_two_holes_are_named_together(course):
    (course / "misconceptions" / "hw9.toml").write_text((course / "misconceptions" / "hw9.toml").read_text() + ANOTHER)
    misconceptions._mistakes.cache_clear()
    both = tuple(mistake for mistake in mistakes("hw9") if mistake.task == "hw9.4")
    check = check_called("test_scale")
    found = identify(check, suspect_outcomes(both, check, 0))
    assert found is not None and found.planted and found.name == "factor-added + factor-doubled"
    for mistake in both:
        assert mistake.diagnosis in found.diagnosis and mistake.hint in found.hint
        assert identify(check, suspect_outcomes((mistake,), check, 0)).name == mistake.name


def noise(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    return rng.standard_normal(array.shape).astype(array.dtype)


WRONG: list[Callable[[np.random.Generator, np.ndarray], np.ndarray]] = [
    noise,
    lambda rng, array: array + noise(rng, array) * 0.01,
    lambda rng, array: array * rng.uniform(2, 9),
    lambda rng, array: np.full_like(array, rng.standard_normal()),
    lambda rng, array: rng.permutation(array.ravel()).reshape(array.shape),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_random_wrong_answers_get_no_name(course, wrong):
    for test in ("test_double", "test_clip", "test_scale", "test_scale_gradient"):
        for seed in range(5):
            rng, check = np.random.default_rng(seed), check_called(test)
            answers = [{k: wrong(rng, v) for k, v in right.items()} for right in expected_outcomes(check, 0)]
            assert identify(check, answers) is None


@pytest.mark.parametrize("state", [State.BLOCKED, State.IMPORT_ERROR, State.TIMEOUT])
def test_what_did_not_run_to_its_end_gets_no_name(course, state):
    check = check_called("test_double")
    assert identify(check, [Failure(state, "") for _ in check.draw()]) is None


def test_a_right_answer_gets_no_name(course):
    check = check_called("test_double")
    assert identify(check, expected_outcomes(check, 0)) is None


def test_without_time_there_is_no_name(course):
    check = check_called("test_double")
    assert identify(check, student("double", "return 2 + x", check), seconds=0) is None


# --- real homework --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hw1() -> None:
    if not checks_of("hw1.2"):
        load_checks(ROOT, homework("hw1"))


def names_of(hole: Hole, body: str) -> set[str]:
    """The names that all failed checks of a task give to a hole filled like this, each by itself."""
    wrong = Mistake(hole.task, "somebody's", "", "", hole, (), body)
    found = set()
    for check in checks_of(hole.task):
        outcomes = suspect_outcomes((wrong,), check, 0)
        if not alike(outcomes, expected_outcomes(check, 0)) and (name := identify(check, outcomes, seconds=20)):
            found.add(name.diagnosis)
    return found


def test_a_mistake_of_homework_1_is_told_though_it_was_not_planted(hw1):
    hole = next(hole for hole in homework("hw1").holes() if hole.qualname == "Tanh.backward")
    (told,) = names_of(hole, "(y,) = ctx.saved_tensors\nreturn dy + dy * y * y")
    assert told == "The answers are as if, in Tanh.backward, an addition stood where a subtraction belongs."


def test_an_odd_mistake_of_homework_1_is_not_told(hw1):
    hole = next(hole for hole in homework("hw1").holes() if hole.qualname == "Tanh.backward")
    assert not names_of(hole, "(y,) = ctx.saved_tensors\nreturn dy * (1 - y * y) * 1.37")
