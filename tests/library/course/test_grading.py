"""From a student's file to a verdict: every state, what is told, and that a mistake gets its own name or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minicnn.course import execution
from minicnn.course.build import build
from minicnn.course.checks import CHECKS, Draw
from minicnn.course.execution import State
from minicnn.course.judging import Verdict, changed_outside, judge, state_of_task
from minicnn.course.loading import student_modules
from minicnn.course.manifest import homework
from minicnn.course.naming import identify

from . import toy


def checks():
    """The checks of the toy, by name."""
    from minicnn.course import checks as module

    return {name: check for task in module.CHECKS.values() for name, check in task.items()}


def hand_in(course: Path, **bodies: str) -> Path:
    """Fill holes of the toy: ``double="return 2 * x"``. The rest stays as it was handed out."""
    path = course / "assignments" / "hw9_toy" / "toy.py"
    text = path.read_text()
    for name, body in bodies.items():
        lines = text.splitlines(keepends=True)
        at = next(i for i, line in enumerate(lines) if f" {name.replace('__', '.__', 1)}: not written" in line
                  or f" {name}: not written" in line)  # fmt: skip
        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        lines[at] = "".join(f"{indent}{line}\n" for line in body.split("\n"))
        text = "".join(lines)
    path.write_text(text)
    return course / "assignments"


def verdict(course: Path, test: str, **bodies: str) -> Verdict:
    """What one check says of a submission."""
    impl = hand_in(course, **bodies)
    return judge(checks()[test], student_modules(homework("hw9"), impl), impl)


def test_the_reference_passes_and_the_stub_is_not_attempted(course):
    for name in checks():
        assert verdict(course, name).state is State.NOT_ATTEMPTED, name
    (course / "solutions" / "hw9_toy").mkdir(parents=True)
    reexport = 'from minicnn.course.solution import reexport\n\nreexport("toy_reference", globals())\n'
    (course / "solutions" / "hw9_toy" / "toy.py").write_text(reexport)
    modules = student_modules(homework("hw9"), course / "solutions")
    verdicts = [judge(check, modules) for check in checks().values()]
    assert [v.state for v in verdicts] == [State.PASS] * 6 and sum(v.points for v in verdicts) == 100


@pytest.mark.parametrize(
    "body",
    [
        "return x + x",
        "return np.array([2.0 * v for v in np.ravel(x)]).reshape(np.shape(x))",
        "return np.einsum('...,->...', x, x.dtype.type(2))",
        "return (x * np.ones_like(x)) + x",
    ],
)
def test_right_answers_by_other_roads_pass(course, body):
    assert verdict(course, "test_double", double=body).state is State.PASS


def test_an_unwritten_task_that_is_called_blocks_the_caller(course):
    told = verdict(course, "test_quadruple", quadruple="return double(double(x))")
    assert told.state is State.BLOCKED and told.blocked_by == "hw9.1"


def test_a_half_written_task_is_not_attempted(course):
    told = verdict(course, "test_scale", Scale__init__="self.factor = factor")
    assert told.state is State.NOT_ATTEMPTED


def test_a_task_that_has_been_begun_says_what_is_left(course):
    told = verdict(course, "test_scale", Scale__init__="self.factor = factor")
    assert told.state is State.NOT_ATTEMPTED and told.message == "toy.py: Scale.__call__"


def test_a_raise_that_was_forgotten_above_or_below_the_code_is_an_error_that_says_so(course):
    stub = 'raise NotImplementedError("hw9.1 double: not written yet, see here")'
    for body in (f"{stub}\nreturn 2 * x", f"y = 2 * x\n{stub}", f"if True:\n    {stub}\nreturn 2 * x"):
        (course / "assignments" / "hw9_toy" / "toy.py").unlink()
        build(course, [homework("hw9")])
        told = verdict(course, "test_double", double=body)
        assert told.state is State.ERROR and "is still there, toy.py:" in told.message, told.message
        assert "take it out" in told.message


@pytest.mark.parametrize("signature", ["double()", "double(x, y)", "double(*, x)"])
def test_a_function_with_other_arguments_says_so(course, signature):
    path = course / "assignments" / "hw9_toy" / "toy.py"
    path.write_text(path.read_text().replace("double(x)", signature, 1))
    told = judge(checks()["test_double"], student_modules(homework("hw9"), course / "assignments"))
    assert told.state is State.WRONG and "it cannot be called as its docstring says: double() " in told.message


def test_code_that_was_given_and_is_changed_is_named(course):
    impl = hand_in(course, quadruple="return 3 * x")
    path, check = impl / "hw9_toy" / "toy.py", checks()["test_quadruple"]
    assert changed_outside(check, impl) == []
    (course / "toy_reference.py").write_text(toy.REFERENCE + "\n\ndef given(x):\n    return x\n")
    assert changed_outside(check, impl) == []
    path.write_text(path.read_text() + "\n\ndef given(x):\n    return x  # the same\n\n\ndef mine():\n    pass\n")
    assert changed_outside(check, impl) == []
    path.write_text(path.read_text().replace("return x  # the same", "return -x"))
    assert changed_outside(check, impl) == ["toy.py is changed outside its holes: given"]
    path.write_text("def (:")
    assert changed_outside(check, impl) == []


def test_a_wrong_answer_tells_where_and_how_much(course):
    told = verdict(course, "test_double", double="y = 2 * x\ny[0, 1] += 1\nreturn y")
    assert told.state is State.WRONG and told.case == 0 and told.points == 0
    for part in ("hw9.1 Doubling: the values", "(0/30 points)", "case 0 (x (1, 4) float64)", "doubled", "[0, 1]",
                 "got", "expected", "1 of 4 (25%)"):  # fmt: skip
        assert part in told.message, told.message


@pytest.mark.parametrize(
    "body, part",
    [
        ("return None", "got None, expected"),
        ("return (2 * x).T", "transposed"),
        ("return (2 * x)[0]", "got shape (4,), expected (1, 4)"),
        ("return 'two'", "got 'two'"),
        ("return [2 * x]", "doubled"),
        ("return object()", "expected numbers, strings or tensors, got object"),
        ("return 2 * x * np.nan", "NaN"),
        ("x *= 2\nreturn x", "x was written into"),
        ("return -2 * x", "sign"),
        ("return 2 * np.float64(x)", "got dtype float64, expected float32: the numbers are right"),
    ],
)
def test_wrong_kinds_of_answers_are_wrong_and_no_errors(course, body, part):
    told = verdict(course, "test_double", double=body)
    assert told.state is State.WRONG and part in told.message, told.message


def test_a_layer_that_gives_no_tensor_is_wrong(course):
    told = verdict(course, "test_scale_gradient", Scale__init__="self.factor = factor", Scale__call__="return None")
    assert told.state is State.WRONG and "expected a Tensor, got None" in told.message


def test_leaving_the_tape_is_told(course):
    body = "return Tensor(x.detach().array * self.factor)"
    told = verdict(course, "test_scale_gradient", Scale__init__="self.factor = factor", Scale__call__=body)
    assert told.state is State.WRONG and "tape" in told.message


def test_an_exception_shows_the_students_lines_and_no_others(course):
    told = verdict(course, "test_double", double="z = x + 1\nreturn np.linalg.inv(z[:, :2])[5]")
    assert told.state is State.ERROR
    frames = [line for line in told.message.splitlines() if " in double: " in line]
    assert len(frames) == 1 and "toy.py:" in frames[0] and "np.linalg.inv" in frames[0]
    assert "execution.py" not in told.message and "linalg.py" not in told.message


@pytest.mark.parametrize(
    "text, part",
    [
        ("def double(x:\n    return\n", ":1: SyntaxError"),
        ("import numpy\n\nimport no_such_module\n", ":3: ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = 1\ny = 1 / 0\n", ":2: ZeroDivisionError"),
        ("raise SystemExit(0)\n", ":1: SystemExit: 0"),
        ("\x00", "SyntaxError"),
    ],
)
def test_files_that_cannot_be_imported_say_where(course, text, part):
    (course / "assignments" / "hw9_toy" / "toy.py").write_text(text)
    told = judge(checks()["test_double"], student_modules(homework("hw9"), course / "assignments"))
    assert told.state is State.IMPORT_ERROR and "toy.py" in told.message and part in told.message


def test_a_missing_file_and_a_missing_function(course):
    path = course / "assignments" / "hw9_toy" / "toy.py"
    path.write_text("def quadruple(x):\n    return 4 * x\n")
    modules = student_modules(homework("hw9"), course / "assignments")
    told = judge(checks()["test_double"], modules)
    assert told.state is State.WRONG and "toy.py has no 'double' any more" in told.message
    assert judge(checks()["test_quadruple"], modules).state is State.PASS
    path.unlink()
    told = judge(checks()["test_double"], student_modules(homework("hw9"), course / "assignments"))
    assert told.state is State.IMPORT_ERROR and "there is no such file" in told.message


# --- the name of a mistake ------------------------------------------------------------------------------------------


def named(course: Path, test: str, **bodies: str) -> str | None:
    """The name that a submission's mistake is given."""
    impl = hand_in(course, **bodies)
    modules = student_modules(homework("hw9"), impl)
    check = checks()[test]
    told = judge(check, modules, impl)
    assert told.state in (State.WRONG, State.ERROR)
    mistake = identify(check, [execution.execute(check, modules, case) for case in check.draw()])
    return mistake and mistake.name


def test_a_known_mistake_is_named_however_it_is_written(course):
    assert named(course, "test_double", double="return np.square(x)") == "squared"
    assert named(course, "test_clip", clip="return np.where(x < low, x, low)") == "clipped-from-above"


def test_a_mistake_is_named_though_the_rest_is_not_written(course):
    bodies = {"Scale__init__": "self.factor = factor", "Scale__call__": "return self.factor + x"}
    assert named(course, "test_scale", **bodies) == "factor-added"


@pytest.mark.parametrize(
    "body",
    [
        "return 3.0001 * x",
        "return np.tanh(x)",
        "raise ValueError('no')",
        "return None",
        "return x",
    ],
)
def test_an_unrelated_wrong_answer_gets_no_name(course, body):
    assert named(course, "test_double", double=body) is None


# --- cases ----------------------------------------------------------------------------------------------------------


def test_cases_are_the_same_on_every_run_and_others_with_another_seed(course):
    check = checks()["test_double"]
    one, again, other = check.draw(0), check.draw(0), check.draw(1)
    assert all(np.array_equal(a["x"], b["x"]) for a, b in zip(one, again, strict=True))
    assert not all(np.array_equal(a["x"], b["x"]) for a, b in zip(one, other, strict=True))
    assert [case["x"].dtype.name for case in one[:2]] == ["float64", "float32"]


def test_a_single_case_can_be_asked_for(course):
    impl = hand_in(course, double="return 2 * x if len(x) == 1 else x")
    modules, check = student_modules(homework("hw9"), impl), checks()["test_double"]
    sizes = [len(case["x"]) for case in check.draw()]
    assert judge(check, modules, only=sizes.index(1)).state is State.PASS
    assert judge(check, modules, only=sizes.index(max(sizes))).state is State.WRONG
    with pytest.raises(ValueError, match="cases 0 to 5, got case 6"):
        judge(check, modules, only=6)


def test_draws_keep_their_promises():
    for index in range(6):
        draw = Draw("a test", index, 6)
        assert 1 <= draw.size(1, 4) <= 4 and draw.choice("ab") in "ab" and 2 <= draw.integer(2, 3) <= 3
        assert np.abs(draw.away_from_zero(50)).min() >= 0.1
        gaps = np.diff(np.sort(draw.distinct(5, 10).ravel()))
        assert gaps.min() > 0.1
    assert Draw("a test", 0, 6).size(1, 4) == 1  # small cases come first


def test_a_task_is_what_the_worst_of_its_checks_is():
    assert state_of_task([State.PASS, State.WRONG, State.NOT_ATTEMPTED]) is State.WRONG
    assert state_of_task([State.PASS, State.BLOCKED, State.NOT_ATTEMPTED]) is State.NOT_ATTEMPTED
    assert state_of_task([State.PASS, State.PASS]) is State.PASS


def test_checks_register_under_their_task(course):
    from minicnn.course import checks as module

    assert {task: list(found) for task, found in module.CHECKS.items()} == {
        "hw9.1": ["test_double", "test_double_of_integers"],
        "hw9.2": ["test_quadruple"],
        "hw9.3": ["test_clip"],
        "hw9.4": ["test_scale", "test_scale_gradient"],
    }
    assert "hw9.1" not in CHECKS  # the toy's are gone with the toy
