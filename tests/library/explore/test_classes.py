"""Which class is asked for, and what the network says about its classes."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.explore.classes import Classes
from minicnn.tensors import Tensor

NAMES = ["crane", "hay", "Daisy", "crane"]


def output(*scores: float) -> Tensor:
    return Tensor(np.array([scores]))


@pytest.mark.parametrize(("target", "index"), [(None, 1), (2, 2), ("0", 0), ("daisy", 2), ("HAY", 1)])
def test_a_class_by_name_or_number(target: int | str | None, index: int) -> None:
    assert Classes(output(0, 3, 1, 2), NAMES, target).chosen == index


def test_classes_that_are_called_like_numbers() -> None:
    scores = output(0, 3, 1, 2)
    assert Classes(scores, ["3", "5", "7", "1"], "7").chosen == 2
    assert Classes(scores, ["3", "5", "7", "1"], 1).chosen == 1
    assert Classes(scores, ["3", "5", "7", "1"], "2").chosen == 2


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (4, "expected a class from 0 to 3, got 4"),
        (-1, "expected a class from 0 to 3, got -1"),
        ("crane", "2 classes are called 'crane': give a number, 0 or 3"),
        ("dais", "no class is called 'dais'; did you mean 'Daisy'?"),
        ("hey", "no class is called 'hey'; did you mean 'hay'?"),
        ("xyzzy", "no class is called 'xyzzy'$"),
    ],
)
def test_a_class_that_there_is_not(target: int | str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        Classes(output(0, 3, 1, 2), NAMES, target)


def test_numbers_and_labels_of_other_types() -> None:
    scores = output(0, 3, 1)
    assert Classes(scores, None, np.int64(2)).chosen == 2  # type: ignore[arg-type]
    assert Classes(scores, np.array(["a", "b", "c"]), "C").chosen == 2  # type: ignore[arg-type]
    found = Classes(scores, [4, 5, 6], "6")  # type: ignore[list-item]
    assert (found.chosen, found.label(2)) == (2, "6")


def test_the_likeliest_classes() -> None:
    scores = np.array([0.0, 3, 1, 2, -1, 0.5])
    found = Classes(output(*scores), None, None).prediction()
    assert [guess["index"] for guess in found] == [1, 3, 2, 5, 0]
    expected = np.exp(scores) / np.exp(scores).sum()
    assert [guess["probability"] for guess in found] == pytest.approx(sorted(expected)[::-1][:5], rel=1e-3)
    assert found[0]["label"] == "class 1"
    assert Classes(output(1000, -1000), ["a", "b"], None).prediction()[0] == {
        "index": 0,
        "label": "a",
        "probability": 1,
    }


def test_labels_of_another_number_are_not_used() -> None:
    assert Classes(output(0, 1), NAMES, None).label(1) == "class 1"


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 1), (1,)])
def test_what_is_no_classifier(shape: tuple[int, ...]) -> None:
    found = Classes(Tensor(np.ones(shape)), None, None)
    assert (found.scores, found.chosen, found.prediction(), found.finite) == (None, None, [], True)
    with pytest.raises(ValueError, match="one number for each class"):
        Classes(Tensor(np.ones(shape)), None, 1)


def test_scores_that_are_not_finite() -> None:
    found = Classes(output(0, np.nan, 2), None, None)
    assert (found.chosen, found.finite, found.prediction()) == (2, False, [])
