"""What accuracy costs, and which networks are worth it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.lecture.analyses import efficiency
from minicnn.models import create_model
from minicnn.nn.summary import summary
from tests.library.support.residual_networks import few


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet50"])
def test_costs_are_those_of_the_summary(name: str) -> None:
    row = efficiency.cost(name)
    model = create_model(name, init=False)
    counted = summary(model, (3, row.input_size, row.input_size))
    assert row.multiply_adds == counted.multiply_adds and row.activation_bytes == counted.activation_bytes
    assert row.parameters == counted.parameters - counted.idle_parameters
    assert row.parameter_bytes == 4 * row.parameters and row.source


@few
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_the_front_beats_all_others_and_none_of_its_own(points: list[tuple[int, int]]) -> None:
    def beats(a: tuple[int, int], b: tuple[int, int]) -> bool:
        return a[0] <= b[0] and a[1] >= b[1] and a != b

    front = efficiency.pareto_front([cost for cost, _ in points], [gain for _, gain in points])
    assert [points[i][0] for i in front] == sorted(points[i][0] for i in front)
    for i, point in enumerate(points):
        assert (i in front) != any(beats(points[j], point) for j in front)


def test_density_is_accuracy_per_million_parameters() -> None:
    np.testing.assert_allclose(efficiency.accuracy_density([70, 80], [35e6, 5e6]), [2, 16])
