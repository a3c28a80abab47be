"""The learning curves as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicnn import tensor
from minicnn.nn.functional import cross_entropy
from minicnn.training import draw_curves, least_loss
from minicnn.utils import style
from tests.library.support.runs import history


@pytest.mark.parametrize("lines", [history(12), history(5, validation=False), []], ids=len)
def test_the_curves_are_a_picture_of_a_sensible_size(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "curves.png"
    draw_curves(path, lines, "resnet20 on digits", "test accuracy 99.00 %")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert 800 <= image.width <= 2000
        assert 300 <= image.height <= 1200
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]
    colors = {f"#{bytes(color).hex()}" for color in np.unique(pixels, axis=0)}
    assert (style.BLUE in colors) == bool(lines)
    assert (style.VERMILION in colors) == any("validation_loss" in line for line in lines)


def test_the_least_loss_is_that_of_predicting_the_smoothed_labels() -> None:
    assert least_loss(0.1, 10) == pytest.approx(0.500, abs=1e-3)
    assert least_loss(0.0, 10) == 0.0
    rng = np.random.default_rng(0)
    for smoothing, classes in ((0.1, 10), (0.3, 4), (1.0, 3)):
        target = np.full(classes, smoothing / classes) + (1 - smoothing) * np.eye(classes)[2]
        logits = np.log(target + 1e-300)
        others = [logits, *(logits + 0.1 * rng.normal(size=(20, classes)))]
        losses = [
            cross_entropy(tensor(row[None]), tensor(np.array([2])), label_smoothing=smoothing).item() for row in others
        ]
        assert losses[0] == pytest.approx(least_loss(smoothing, classes)) and min(losses[1:]) > losses[0]


def test_the_least_loss_is_a_labelled_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(style, "save", lambda drawing, path, kind: drawn.append(drawing))
    for least in (0.5, 0.0):
        draw_curves(tmp_path / "curves.png", history(9), "title", least=least)
    with_, without = (drawing.axes[0] for drawing in drawn)
    assert len(with_.lines) == len(without.lines) + 1 == 3
    assert with_.lines[-1].get_ydata() == [0.5, 0.5]
    assert [text.get_text() for text in with_.texts] == ["training", "validation", "least possible: 0.500"]
    assert len(drawn[0].axes[1].lines) == len(drawn[1].axes[1].lines)  # only of the loss
