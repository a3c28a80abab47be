"""The figure ``auxiliary``: a small run, and what holds in any run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minicnn.lecture.figures import auxiliary
from minicnn.models import create_model
from minicnn.models.googlenet import TABLE_1
from minicnn.nn.summary import summary
from tests.library.support.figure_checks import run


@pytest.mark.slow
def test_auxiliary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(auxiliary, "QUICK", auxiliary.Size(images=2))
    monkeypatch.setattr(auxiliary, "IMAGE_SIDE", 32)
    monkeypatch.setattr(auxiliary, "INITS", ("Xavier",))
    data = run(auxiliary, tmp_path)
    above = auxiliary.LAYERS.index("inception4e")
    np.testing.assert_array_equal(data.ratios[:, above:], 1)  # no auxiliary classifier sees what comes later
    assert (data.ratios[:, :above] > 1).all()  # two more losses, in independent directions
    assert (data.ratios[:, auxiliary.BELOW_AUX1] > data.ratios[:, auxiliary.BELOW_AUX2]).all()


def test_reduced_modules_cost_what_table_1_says() -> None:
    operations, parameters, channels = auxiliary.module_costs()
    rows = [row for row in TABLE_1 if row.filters is not None]
    assert operations[1].tolist() == [row.multiply_adds for row in rows]
    own = summary(create_model("googlenet", init=False))
    inside = [sum(row.parameters for row in own.within(name)) for name in auxiliary.MODULES]
    assert parameters[1].tolist() == inside
    assert channels[1].tolist() == [row.output[0] for row in rows]
    assert operations[0, 0] == 303_464_448 and channels[0, 0] == 416  # 3a naive: 28^2 (64 + 9 * 128 + 25 * 32) * 192
    assert (operations[0] > 2 * operations[1]).all()
