"""The figure ``vanishing``: a small run, and what holds in any run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.lecture.figures import vanishing
from tests.library.support.figure_checks import run


@pytest.mark.slow
def test_vanishing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vanishing, "QUICK", vanishing.Size(images=4, depths=(4, 20)))
    data = run(vanishing, tmp_path)
    assert data.norms.shape == (len(vanishing.KINDS), 2, 1, 10)
    assert np.isnan(data.norms[:, 0, :, 2:]).all() and (data.norms[:, 1] > 0).all()
    gains, ratios = data.gains()[:, 1], data.ratios()[:, 1]
    np.testing.assert_allclose(ratios, gains**18)
    for kind, gain in zip(vanishing.KINDS, gains, strict=True):
        expected = vanishing.theory(kind)
        if expected is not None:  # 16 channels are few: the norm scatters by some per cent a layer
            assert gain == pytest.approx(expected, rel=0.1), kind.name
    named = dict(zip((kind.name for kind in vanishing.KINDS), ratios, strict=True))
    assert named["N(0, 0.01²)"] < 1e-15 and named["N(0, 0.2²)"] > 1e3
    assert 0.1 < named["He"] < 10 and 0.1 < named["N(0, 0.01²), shortcuts"] < 10
    assert vanishing.FIGURE.verdict(data).startswith("through 20 layers the gradient vanishes with N(0, 0.01²)")


def test_all_kinds_of_a_seed_see_the_same_digits() -> None:
    stems = []
    for kind in vanishing.KINDS:
        minicnn.manual_seed(3)
        stems.append(vanishing.network(kind, 4)[0].weight.detach().numpy().std())
    np.testing.assert_allclose(stems, stems[0], rtol=0.2)


def test_theory_of_initialisations() -> None:
    edge = (1 + 2 * math.cos(math.pi / 9)) / 3
    he, xavier = (vanishing.theory(vanishing.Kind(init)) for init in ("He", "Xavier"))
    assert he == pytest.approx(edge) and xavier == pytest.approx(edge / math.sqrt(2))
    # The eigenvalue, from the box sum itself: it is a product of one for rows and one for columns.
    box = sum(np.eye(8, k=k) for k in (-1, 0, 1))
    assert edge == pytest.approx(np.linalg.eigvalsh(box).max() / 3)
