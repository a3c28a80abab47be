"""The results that come with minicnn: complete, small, true of the code, and drawn at once."""

from __future__ import annotations

import dataclasses
import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text

from minicnn import cli, lecture
from minicnn.lecture import Settings, shipped
from minicnn.lecture.analyses.efficiency import cost
from minicnn.lecture.figures import add_or_concat, deformable, degradation, depth, scaling, vanishing
from minicnn.models import create_model
from minicnn.nn.summary import multiply_adds
from minicnn.utils import style

every_figure = pytest.mark.parametrize("name", lecture.figure_names())


def found(name: str):
    got = shipped.read(lecture.figure(name))
    assert got is not None, f"{name} has no shipped result"
    return got


@every_figure
def test_a_figure_has_a_result_that_it_can_show(name: str) -> None:
    figure = lecture.figure(name)
    data, _ = found(name)
    assert type(data) is figure.result
    for field in dataclasses.fields(data):
        values = np.asarray(getattr(data, field.name))
        assert values.size and values.dtype != object
    header, rows = figure.table(data)
    assert rows and all(len(row) == len(header) for row in rows)
    assert len(figure.verdict(data)) > 40
    with style.applied():
        drawing = figure.draw(data)
    assert drawing.get_figwidth() == style.WIDTH
    sizes = [text.get_fontsize() for text in drawing.findobj(Text) if text.get_text()]
    assert min(sizes) >= 8 and max(len(text.get_text()) for text in drawing.findobj(Text)) < 90


@every_figure
def test_a_result_says_where_and_when_and_how_large(name: str) -> None:
    _, origin = found(name)
    assert date(2026, 1, 1) <= date.fromisoformat(origin.date)
    assert origin.seconds > 1 and 1 <= origin.threads <= origin.cores
    assert origin.processor and origin.minicnn and origin.numpy
    assert origin.size == shipped.full_size(lecture.figure(name)), "the experiment has changed: compute it again"
    for said in (origin.date, origin.processor, origin.minicnn, origin.numpy):
        assert said in str(origin)


def test_the_results_are_small_and_there_are_no_others() -> None:
    files = list(shipped.RESULTS.iterdir())
    assert {path.stem for path in files} == set(lecture.figure_names())
    assert {path.suffix for path in files} == {".npz", ".json"}
    assert sum(path.stat().st_size for path in files) < 2**20
    assert all(json.loads(path.read_text(encoding="utf-8")) for path in files if path.suffix == ".json")


@pytest.mark.parametrize("coding", shipped.CODINGS)
def test_an_array_in_bytes_looks_as_before(coding: str) -> None:
    pack, unpack = shipped.CODINGS[coding]
    values = np.concatenate([[0, 1e-12, 1], np.random.default_rng(0).random(1000) ** 3])
    back = unpack(pack(values))
    assert pack(values).dtype == np.uint8
    drawn = np.sqrt if "sqrt" in coding else np.asarray  # what the figure's colours are proportional to
    assert np.abs(drawn(back) - drawn(values)).max() <= (1 if "sqrt" in coding else 0.51) / 255
    assert back[0] == 0 and back[2] == 1 and ("sqrt" not in coding or back[1] > 0)  # what is not zero stays so


def test_what_is_written_is_read(tmp_path: Path) -> None:
    figure = lecture.figure("depth")
    data, origin = found("depth")
    shipped.write(figure, data, origin, tmp_path)
    again = shipped.read(figure, tmp_path)
    assert again is not None and again[1] == origin
    for field in dataclasses.fields(data):
        np.testing.assert_array_equal(getattr(again[0], field.name), getattr(data, field.name))
    assert shipped.read(lecture.figure("cost"), tmp_path) is None


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def never_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """``depth`` cannot be computed."""
    real = lecture.figure

    def compute(settings: Settings) -> None:
        raise ZeroDivisionError("computed")

    monkeypatch.setattr(lecture, "figure", lambda name: dataclasses.replace(real(name), compute=compute))
    monkeypatch.setattr("minicnn.lecture.running._key", lambda figure, settings: "key")


def test_the_command_draws_the_shipped_result_and_says_where_it_is_from(
    never_computed: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(("lecture", "depth", "--out", str(tmp_path))) == 0
    out, error = capfd.readouterr()
    _, origin = found("depth")
    assert "computed on " in out and origin.date in out and origin.processor in out
    assert "as shipped" in error
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "depth.png", "depth.svg", "depth.csv"}
    assert not list((tmp_path / "cache").iterdir())
    assert all(len(line) <= 80 for line in [*out.splitlines(), *error.splitlines()] if str(tmp_path) not in line)


@pytest.mark.parametrize("asked", [("--fresh",), ("--quick",), ("--seed", "1"), ("--device", "cuda:0")])
def test_anything_else_is_computed(
    never_computed: None, tmp_path: Path, capfd: pytest.CaptureFixture[str], asked: tuple[str, ...]
) -> None:
    assert cli.main(("lecture", "depth", "--out", str(tmp_path), *asked)) != 0
    assert "computed" in capfd.readouterr().err


def test_only_the_default_settings_are_the_shipped_ones() -> None:
    assert Settings().default and Settings(progress=print).default
    others = (
        Settings(quick=True),
        Settings(seed=1),
        Settings(device="cuda:0"),
        Settings(data="cifar10:x"),
        Settings(mine=True),
    )
    assert not any(settings.default for settings in others)


@pytest.mark.slow(20)
@every_figure
def test_what_the_command_prints_fits_80_columns(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    assert cli.main(("lecture", name)) == 0
    out, error = capfd.readouterr()
    assert [line for line in [*out.splitlines(), *error.splitlines()] if len(line) > 80] == []


# ---- the documentation ---------------------------------------------------------------------------------------------


def rows_in_docs() -> list[str]:
    """Rows of the tables of docs/lecture-figures.md and docs/deformable.md, made of the results."""
    rows = []
    data, _ = found("degradation")
    for name, train, test in zip(degradation.NETWORKS, data.train_error, data.test_error, strict=True):
        last = (train[:, -1], test[:, -1])
        rows.append(" | ".join([name, *(f"{values.mean():.1f} % ({values.std():.1f})" for values in last)]))
    deformed, _ = found("deformable")
    for name, errors in zip(deformable.NETWORKS, deformed.errors, strict=True):
        rows.append(" | ".join([name, *(f"{error:.2f} %" for error in (*errors, errors.mean()))]))
    scaled, _ = found("scaling")
    for way, name in zip(scaling.WAYS, ("width", "depth", "resolution", "all three"), strict=True):
        own = scaled.way == way
        pairs = zip(scaled.losses[own].mean(axis=1), scaled.errors[own].mean(axis=1), strict=True)
        budget = scaled.macs[scaled.way == "compound"].max()
        cells = [f"{loss:.3f} ({error:.1f} %)" for loss, error in pairs]
        rows.append(" | ".join([name, *cells, f"{scaling.loss_at(scaled, way, budget):.3f}"]))
    reuse, _ = found("add-or-concat")
    for name, memory, factor in zip(add_or_concat.STAGES, reuse.memory, add_or_concat.growth(reuse), strict=True):
        sizes = [f"{size:.0f}" if size < 1e4 else f"{size:,.0f}".replace(",", " ") for size in memory[-3:]]
        rows.append(" | ".join([name, *sizes, f"x {factor:.2f}"]))
    seen, _ = found("paths")
    several = dict(zip(seen.removed.tolist(), seen.without_several.mean(axis=1), strict=True))
    errors = ", ".join(f"{several[count]:.1f} %" for count in (5, 10, 20))
    rows.append(f"ResNet without 5, 10, 20 random blocks | {errors}")
    gates, _ = found("attention")
    spread, explained = (v.mean(axis=1).reshape(3, -1).mean(axis=1) for v in (gates.spread, gates.explained))
    rows.append("standard deviation of the mean gates of classes | " + " | ".join(f"{s:.3f}" for s in spread))
    rows.append("share of the gates' variance that the class explains | " + " | ".join(f"{e:.0%}" for e in explained))
    return [f"| {row.replace('%', ' %').replace('  %', ' %')} |" for row in rows]


@pytest.mark.parametrize("row", rows_in_docs())
def test_the_documents_have_the_numbers_of_the_results(row: str) -> None:
    docs = Path(__file__).resolve().parents[3] / "docs"
    text = "".join((docs / name).read_text(encoding="utf-8") for name in ("lecture-figures.md", "deformable.md"))
    assert row in text.splitlines()


# ---- the same numbers, computed now --------------------------------------------------------------------------------


@pytest.mark.slow(seconds=10)
def test_counts_are_as_shipped() -> None:
    """What needs no training: operations and parameters of ``cost`` and ``scaling``, layers of ``depth``."""
    costs, _ = found("cost")
    for i, name in enumerate(map(str, costs.names)):
        row = cost(name)
        assert (row.multiply_adds, row.parameters, row.activation_bytes) == (
            costs.multiply_adds[i], costs.parameters[i], costs.activation_bytes[i]
        )  # fmt: skip
    scaled, _ = found("scaling")
    macs = [multiply_adds(scaling.SmallNet(int(c), int(b)), (1, int(s), int(s))) for c, b, s in scaled.sizes]
    assert macs == scaled.macs.tolist()
    layers = [
        depth.weighted_layers(create_model(name, init=False), (3, 227, 227)) if isinstance(name, str) else name or 0
        for _, _, name, _ in depth.REVOLUTION
    ]
    assert layers == found("depth")[0].layers.tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("vanishing", ("norms",)),
        ("depth", ("fields", "theoretical", "effective")),
        ("backbones", ("agreement", "unmoved")),
    ],
)
def test_a_result_is_found_again(name: str, fields: tuple[str, ...]) -> None:
    """Three figures without training, computed in full."""
    kept, now = found(name)[0], lecture.figure(name).compute(Settings())
    for field in fields:
        np.testing.assert_allclose(getattr(now, field), getattr(kept, field), rtol=2e-3)


def test_the_gradients_of_the_shallowest_networks_are_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, _ = found("vanishing")
    monkeypatch.setattr(vanishing, "FULL", dataclasses.replace(vanishing.FULL, seeds=1, depths=(10,)))
    now = vanishing.compute(Settings())
    np.testing.assert_allclose(now.norms[:, 0, :, :5], kept.norms[:, 0, :1, :5], rtol=1e-9)
