"""The style of all pictures: its colours can be told apart by everybody, and labels do not collide."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from minicnn.lecture.figures.cost import FAMILIES
from minicnn.utils import style

# Machado, Oliveira, Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009,
# severity 1.0, in linear RGB.
SEEN = {
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
LEAST = 15.0  # differences of 2 can be seen side by side; lines lie apart


def linear(colour: str) -> np.ndarray:
    """Linear RGB of #rrggbb."""
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB under D65."""
    ratios = XYZ @ np.clip(rgb, 0, 1) / XYZ.sum(axis=1)
    x, y, z = np.where(ratios > (6 / 29) ** 3, np.cbrt(ratios), ratios * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def least_difference(colours: list[str], sight: str) -> float:
    seen = [lab(np.asarray(SEEN[sight]) @ linear(colour)) for colour in colours]
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))


@pytest.mark.parametrize("sight", SEEN)
def test_everybody_can_tell_the_colours_apart(sight: str) -> None:
    assert least_difference([look.colour for look in style.LOOKS], sight) >= LEAST


def test_red_and_green_would_fail() -> None:
    assert least_difference(["#e8413c", "#15803d"], "all") > LEAST > least_difference(["#e8413c", "#15803d"], "no red")


def test_every_look_has_a_second_cue() -> None:
    for cue in ("marker", "dash", "colour"):
        assert len({getattr(look, cue) for look in style.LOOKS}) == len(style.LOOKS)


def test_every_family_has_a_look_of_its_own() -> None:
    assert set(style.FAMILIES) == set(FAMILIES)
    assert len(set(style.FAMILIES.values())) == len(FAMILIES)
    for family, names in FAMILIES.items():
        assert {style.look_of(name) for name in names} == {style.FAMILIES[family]}
    with pytest.raises(ValueError, match="lenet belongs to none of"):
        style.look_of("lenet")


@pytest.mark.parametrize("seed", range(5))
def test_spread_moves_little_and_keeps_the_order(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=8) * 10
    moved = style.spread(values, 4.0)
    order = np.argsort(values)
    assert (np.diff(moved[order]) >= 4 - 1e-9).all()
    assert moved.mean() == pytest.approx(values.mean())
    assert style.spread(moved, 4.0) == pytest.approx(moved)  # what has room stays


def test_labels_at_the_ends_of_lines_do_not_collide() -> None:
    drawing = style.picture(3)
    axes = drawing.subplots()
    for y in (1.0, 1.01, 1.02, 5.0):
        axes.plot([0, 1], [0, y])
    style.label_ends(axes, [(f"ends at {y}", 1, y) for y in (1.0, 1.01, 1.02, 5.0)])
    drawing.draw_without_rendering()
    boxes = [Text.get_window_extent(label) for label in axes.texts]  # without the lines that lead to them
    assert len(boxes) == 4 and not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert all(box.x0 >= 0 and box.x1 <= style.WIDTH * drawing.dpi for box in boxes)  # inside the picture


def test_a_label_may_have_any_letters() -> None:
    drawing = style.picture(3)
    axes = drawing.subplots()
    style.label_ends(axes, [(r"$\run$", 0.5, 0.5)])
    style.beside(axes, "$^$", (0.5, 0.5))
    drawing.draw_without_rendering()


def test_logarithmic_axes_have_numbers_to_read() -> None:
    with style.applied():
        axes = style.picture(3).subplots()
        axes.plot([1, 40], [60, 370])
        axes.set(xscale="log", yscale="log")
        style.readable(axes.xaxis)
        style.readable(axes.yaxis)
        low, high = axes.get_xlim()
        shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert [axes.xaxis.get_major_formatter()(tick) for tick in shown] == ["1", "2", "5", "10", "20"]


def test_a_matplotlibrc_changes_nothing() -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9}):
        with style.applied():
            assert matplotlib.rcParams["font.size"] == style.LABEL_SIZE
            assert Figure().subplots().plot([1, 2])[0].get_linewidth() == 1.6
        assert matplotlib.rcParams["font.size"] == 30
