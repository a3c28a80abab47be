"""Mutants: what they are, that they are run and taken back, and what the checks let live."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minicnn.cli.course import _mutants, load_checks
from minicnn.course import manifest, survival
from minicnn.course.answers import expected_outcomes
from minicnn.course.checks import checks_of
from minicnn.course.execution import Failure, State, alike
from minicnn.course.manifest import Hole, homework, homework_ids
from minicnn.course.misconceptions import Mistake
from minicnn.course.mutation import Mutant, in_place, mutants, outcome

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = 40  # mutants of a homework that CI tries; `minicnn course proof --mutants` tries all

every_homework = pytest.mark.parametrize("name", homework_ids())


def hole(qualname: str) -> Hole:
    return next(hole for hole in homework("hw9").holes() if hole.qualname == qualname)


def mutant(qualname: str, key: str) -> Mutant:
    return next(mutant for mutant in mutants(hole(qualname)) if mutant.key == key)


def test_mutants_of_a_line(course):
    found = {mutant.key: mutant.sentence for mutant in mutants(hole("double"))}
    assert found["2 * x -> 2 + x"] == "an addition stood where a multiplication belongs"
    assert found["2 * x -> 3 * x"] == "3 stood where 2 belongs"
    assert "2 * x -> 2 * x" not in found
    assert len(found) == len(mutants(hole("double")))


@pytest.mark.parametrize(
    ("name", "qualname", "key"),
    [
        ("hw1", "Mul.backward", "(a, b) -> (b, a)"),
        ("hw2", "im2col", "-> window = window._replace(stride=(1, 1))"),
        ("hw2", "batch_norm", "x.mean(axis=axes) -> x.sum(axis=axes)"),
        ("hw2", "max_pool2d", "pixel > best -> pixel >= best"),
        ("hw2", "taps", "window.kernel_size[0] -> window.kernel_size[1]"),
        ("hw3", "Cat.backward", "end - length -> end + length"),
        ("hw4", "BasicBlock.forward", "self.bn1 -> self.bn2"),
        ("hw4", "ResNet._make_layer", "self.dilation *= stride -> pass"),
        ("hw7", "receptive_field", "-> layers = layers[::-1]"),
    ],
)
def test_mistakes_that_students_make_are_among_the_mutants(name, qualname, key):
    holes = [hole for hole in homework(name).holes() if hole.qualname == qualname]
    assert key in {mutant.key for mutant in mutants(holes[0])}


def test_a_mutant_is_in_place_inside_the_block_alone(course):
    import toy_reference

    with in_place(mutant("double", "2 * x -> 2 + x")) as modules:
        assert modules["toy"].double(5) == 7
        assert modules["toy"].quadruple(5) == 9  # who calls it meets the mutant
        assert toy_reference.double(5) == 10
        host = modules["toy"]
    assert host.double(5) == 10


def test_two_changes_in_two_holes(course):
    added = mutant("Scale.__call__", "x * self.factor -> x + self.factor")
    doubled = mutant("Scale.__init__", "self.factor = factor -> pass")
    with in_place(added, doubled) as modules, pytest.raises(AttributeError):
        modules["toy"].Scale(3.0)(1.0)


def test_endless_mutants_are_stopped(course):
    endless = Mistake("hw9.1", "endless", "", "", hole("double"), (), "while True:\n    pass")
    check = checks_of("hw9.1")[0]
    found = outcome([endless], check, check.draw()[0], seconds=0.1)
    assert isinstance(found, Failure) and found.state is State.TIMEOUT


def test_what_a_mutant_answers_differs_where_it_is_caught(course):
    check = checks_of("hw9.1")[0]
    got = outcome([mutant("double", "2 * x -> 2 + x")], check, check.draw()[0], seconds=1)
    assert not alike([got], [expected_outcomes(check, 0)[0]])
    assert np.allclose(got["doubled"], 2 + check.draw()[0]["x"])


EQUIVALENT = """
[[equivalent]]
hole = "toy:double"
why = "we say so"
mutants = ["2 * x -> 2 + x", "2 * x -> 9 * x"]
"""


def test_a_survey_counts_and_finds_lists_that_do_not_fit(course, capsys):
    owner = homework("hw9")
    every = [mutant for hole in owner.holes() for mutant in mutants(hole)]
    found = survival.survey(owner, every)
    assert found.killed + len(found.survivors) == len(every)
    lives = {str(mutant) for mutant in found.survivors}
    assert "toy:clip: np.maximum(x, low) -> np.minimum(x, low)" not in lives

    (course / "equivalent").mkdir()
    alive = next((key for key in sorted(lives)), None)
    text = EQUIVALENT
    if alive is not None:
        owner_hole, key = alive.split(": ", 1)
        text += f"[[equivalent]]\nhole = '{owner_hole}'\nwhy = 'no harm'\nmutants = ['''{key}''']\n"
    (course / "equivalent" / "hw9.toml").write_text(text)
    survival.listed.cache_clear()
    assert survival.stale(owner) == ["toy:double: 2 * x -> 9 * x"]
    again = survival.survey(owner, every)
    assert [str(mutant) for mutant in again.wrongly_listed] == ["toy:double: 2 * x -> 2 + x"]
    assert len(again.equivalent) == (alive is not None)
    assert _mutants(course, [owner]) == 1
    told = capsys.readouterr().out
    assert "2 * x -> 9 * x: listed, and no mutant" in told and "listed as equivalent, and caught" in told
    assert f"hw9: {len(every)} mutants" in told


def test_a_check_less_is_a_survivor_more(course, monkeypatch):
    """The proof can fail: without its checks nothing is caught."""
    chosen = mutants(hole("clip"))[:5]
    assert survival.survey(homework("hw9"), chosen).share > 0
    monkeypatch.setattr(survival, "checks_of", lambda task: [])
    survival._quickest_first.cache_clear()
    assert survival.survey(homework("hw9"), chosen).share == 0


@pytest.mark.slow
@every_homework
def test_nearly_all_mutants_of_a_sample_are_caught(name):
    owner = manifest.homework(name)
    if not checks_of(owner.tasks[0].id):
        load_checks(ROOT, owner)
    every = [mutant for hole in owner.holes() for mutant in mutants(hole)]
    found = survival.survey(owner, every[:: len(every) // SAMPLE])
    assert not survival.stale(owner) and not found.wrongly_listed
    assert found.share >= survival.GOAL - 0.05, list(map(str, found.survivors))
