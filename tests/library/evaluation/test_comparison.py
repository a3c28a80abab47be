"""Runs side by side: finished, unfinished, damaged, of other data; the page and the table."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minicnn import cli
from minicnn.evaluation import ComparedRun, Comparison, compare, comparison_page, wilson_interval
from minicnn.evaluation.comparison import LONGEST_NAME, short_name
from minicnn.evaluation.comparison_page import draw, page
from minicnn.evaluation.comparison_report import as_dict, lines
from minicnn.models import create_model
from minicnn.nn.summary import multiply_adds
from minicnn.training import make_config
from minicnn.utils import style

from .test_page import require_well_formed


def made(name: str, top1: float | None, images: int = 358, epochs: int = 3, **settings: Any) -> ComparedRun:
    """A run of some epochs; without ``top1`` it is not finished."""
    config = make_config("resnet20", **{"epochs": 3, "data": "digits", **settings})
    history = [
        {"epoch": e, "lr": 0.1, "train_loss": 2 / e, "train_top1": 1 - 0.5 / e, "validation_loss": 2.5 / e,
         "validation_top1": 1 - 0.6 / e, "images_per_second": 100.0, "seconds": 2.0}
        for e in range(1, epochs + 1)
    ]  # fmt: skip
    result = None if top1 is None else {"test_top1": top1, "test_images": images, "seconds": 7.0, "epochs": 3}
    return ComparedRun(name, Path(f"runs/{name}"), config, history, result, 1000, 2_000_000)


def test_intervals_that_overlap_are_said_to() -> None:
    best, near, far = made("best", 354 / 358), made("near", 350 / 358), made("far", 300 / 358)
    assert Comparison((far, near, best), ()).best == [best]
    verdict = Comparison((far, near, best), ()).verdict()
    assert verdict.startswith("best is best on the 358 test images, but the interval of near overlaps its own")
    assert "far" not in verdict
    assert Comparison((best, far), ()).verdict().endswith("and no other interval overlaps its own")
    both = Comparison((best, near, made("third", 349 / 358)), ()).verdict()
    assert "intervals of near and third overlap its own" in both
    assert "equally good" in Comparison((best, replace(best, name="twin")), ()).verdict()
    assert best.interval == wilson_interval(354, 358)


def test_an_interval_that_is_not_known_is_said_to_be() -> None:
    best, far = made("best", 354 / 358), made("far", 300 / 358)
    unknown = [replace(far, name=name, result={"test_top1": 0.98, "seconds": 7.0}) for name in "ab"]
    verdict = Comparison((best, far, unknown[0]), ()).verdict()
    assert verdict == "best is best on the 358 test images; how sure that is, the result of a does not say"
    assert Comparison((best, *unknown), ()).verdict().endswith("the results of a and b do not say")
    assert "of near overlaps" in Comparison((best, made("near", 350 / 358), *unknown), ()).verdict()


def test_a_line_may_have_a_loss_without_an_accuracy() -> None:
    run = made("a", 0.9)
    for line in run.lines:
        del line["validation_top1"]
    text = page(Comparison((run, made("b", 0.9)), ()), "x")
    assert 'alt="validation loss of a, b"' in text and 'alt="validation top-1 error (%) of b"' in text


def test_no_run_is_best_of_different_data_or_of_one() -> None:
    other = made("other", 0.5, data="mnist:x")
    for runs in ((made("a", 0.9), other), (made("a", 0.9), made("b", None))):
        assert Comparison(runs, ()).best == [] and Comparison(runs, ()).verdict() == ""
    same = [made(name, 0.9, data=f"mnist:{name}") for name in "ab"]  # the same images, wherever they lie
    folders = [made(name, 0.9, data=f"folder:{name}") for name in "ab"]
    assert Comparison(tuple(same), ()).same_data and not Comparison(tuple(folders), ()).same_data


def test_what_differs_is_named() -> None:
    comparison = Comparison((made("a", 0.9), made("b", 0.9, lr=0.05, seed=3)), ())
    assert comparison.settings == {"lr": [0.1, 0.05], "seed": [0, 3]}


def test_the_page_and_the_table_hold_many_runs() -> None:
    hostile, count = "<script>\x1b[31m", 9
    runs = [made(f"{hostile}{n}", 0.9 + n / 100 if n % 3 else None, lr=0.1 + n, epochs=n) for n in range(count)]
    comparison = Comparison(tuple(replace(run, name=short_name(run.name)) for run in runs), ("a note on `minicnn`",))
    text = page(comparison, f"minicnn compare {hostile}")
    require_well_formed(text)
    assert text.count("data:image/png") == 4 and "<script" not in text and "\x1b" not in text
    assert "<code>minicnn</code>" in text and len(text) < 500_000
    printed = "\n".join(lines(comparison))
    assert max(map(len, printed.splitlines())) <= 80 and "\x1b" not in printed
    json.dumps(as_dict(comparison), allow_nan=False)


def test_curves_differ_in_more_than_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(style, "png", lambda drawing: drawn.append(drawing) or b"")
    curves = {f"run {n}": [(e, 2 / e + n) for e in range(1, 30)] for n in range(3 * len(style.LOOKS))}
    draw("training loss", curves, 2 / 29, 23)
    draw("validation loss", {"a": [(1, 1.0)]}, 1.0, 1.0)
    draw("training top-1 error (%)", {"a": [(1, 0.0)]}, 0.0, 0.0)
    (axes,) = drawn[0].axes
    looks = {(line.get_marker(), line.get_linestyle(), str(line._unscaled_dash_pattern)) for line in axes.lines}
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == len(curves)
    assert len(looks) == len(style.LOOKS)
    assert [text.get_text() for text in axes.texts] == list(curves)
    assert [d.axes[0].get_yscale() for d in drawn] == ["log", "linear", "symlog"]


def test_a_loss_far_above_all_others_does_not_flatten_them(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(style, "png", lambda drawing: drawn.append(drawing) or b"")
    wild = made("wild", 0.9)
    wild.lines[0]["validation_loss"] = 1e8
    page(Comparison((wild, made("calm", 0.9)), ()), "x")
    limits = [drawing.axes[0].get_ylim()[1] for drawing in drawn[:2]]
    assert limits[0] == limits[1] < 25 and drawn[1].axes[0].get_title("left") == "validation loss; above 20 not shown"
    assert [list(line.get_xdata()) for line in drawn[1].axes[0].lines] == [[2, 3], [1, 2, 3]]


def test_names_are_short() -> None:
    assert short_name("resnet20") == "resnet20"
    assert len(short_name("x" * 100)) <= LONGEST_NAME and short_name("\n") == r"\n"


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that needs the page but not its pictures, which take the most time."""
    monkeypatch.setattr(comparison_page, "draw", lambda title, curves, low, high: b"picture")


# ---- folders -----------------------------------------------------------------------------------------------------


def unfinish(run: Path, epochs: int, half: bool = False) -> None:
    """Make of a run one that has only begun; with ``half`` it is just writing a line."""
    for name in ("result.json", "model.safetensors"):
        (run / name).unlink()
    kept = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(kept[:epochs]) + ('{"epoch": 2, "lr' if half else ""))


def test_runs_are_read(runs: Path) -> None:
    comparison = compare(["one", "two"])
    one, two = comparison.runs
    result = json.loads(Path("one/result.json").read_text())
    assert (one.name, two.name, one.top1, one.epochs) == ("one", "two", result["test_top1"], "2")
    assert one.interval == wilson_interval(round(one.top1 * 358), 358)  # type: ignore[operator]
    model = create_model("tinynet", 10, in_channels=1)
    assert (one.parameters, one.multiply_adds) == (result["parameters"], multiply_adds(model, (1, 8, 8)))
    assert [line["epoch"] for line in one.lines] == [1, 2] and not comparison.notes


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("epochs", [0, 1])
def test_unfinished_runs_are_shown_as_far_as_they_are(epochs: int, half: bool, runs: Path, no_curves: None) -> None:
    unfinish(Path("one"), epochs, half)
    comparison = compare(["two", "one"])
    run = comparison.runs[1]
    assert (len(run.lines), run.epochs, run.top1) == (epochs, f"{epochs}/2", None)
    assert run.parameters == comparison.runs[0].parameters  # its data say how it is built
    assert comparison.notes == (
        f"one is not finished: {epochs} of 2 epochs are done, and it has no test accuracy yet.",
    )
    require_well_formed(page(comparison, "x"))


def test_data_that_are_gone_hide_no_more_than_they_must(runs: Path) -> None:
    unfinish(Path("one"), 1)
    config = json.loads(Path("one/config.json").read_text())
    Path("one/config.json").write_text(json.dumps({**config, "data": "folder:/nowhere"}))
    comparison = compare(["two", "one"])
    different, _, unknown = comparison.notes
    assert "different data (digits, folder:/nowhere): their numbers are not comparable" in different
    assert unknown.startswith("The multiply-adds of one are not known: ")
    assert comparison.runs[1].multiply_adds is None and "-" in "\n".join(lines(comparison))


def test_results_without_a_count_have_no_interval(runs: Path, no_curves: None) -> None:
    result = json.loads(Path("one/result.json").read_text())
    del result["test_images"]
    Path("one/result.json").write_text(json.dumps(result))
    comparison = compare(["one", "two"])
    assert comparison.runs[0].interval is None and "does not say on how many images" in comparison.notes[0]
    assert comparison.verdict().startswith("one is best")
    require_well_formed(page(comparison, "x"))


def test_the_command(no_curves: None, runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    unfinish(Path("two"), 1)
    assert cli.main(["compare", "one", "two"]) == 0
    out, error = capfd.readouterr()
    assert out.splitlines()[-1] == "page: comparison.html" and error == ""
    assert cli.main(["compare", "one", "two", "--json", "--out", "pages/x.html"]) == 0
    content = json.loads(capfd.readouterr().out)
    assert [run["finished"] for run in content["runs"]] == [True, False] and len(content["runs"][0]["history"]) == 2
    assert Path("pages/x.html").read_text() == Path("comparison.html").read_text()


def break_metrics(text: str) -> None:
    Path("two/metrics.jsonl").write_text(text)


LINE = {"epoch": 1, "lr": 0.1, "train_loss": 1.0, "train_top1": 0.5, "images_per_second": 1.0, "seconds": 1.0}
DAMAGES = {
    "words": ("what is this?\n", "two/metrics.jsonl is damaged .* line 1: Expecting value"),
    "a list": ("[]\n", "line 1: it must be a table"),
    "NaN": (json.dumps({**LINE, "train_loss": float("nan")}) + "\n", "line 1: train_loss must be a finite number"),
    "unknown": (json.dumps({**LINE, "sense": 1}) + "\n", "line 1: it has an unknown 'sense'"),
    "lacking": ('{"epoch": 1}\n', "line 1: it lacks"),
    "epochs": (2 * (json.dumps(LINE) + "\n"), "line 2 is of epoch 1; remove it and result.json, and .*--resume two"),
    "bytes": ("\udcff\n", "two/metrics.jsonl is damaged"),
}


@pytest.mark.parametrize(("text", "message"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_metrics_are_named(text: str, message: str, runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("two/metrics.jsonl").write_bytes(text.encode(errors="surrogateescape"))
    refused(["one", "two"], message, capfd)


MISUSES = {
    "one": (["one"], "expected two runs or more to compare, got 1"),
    "twice": (["one", "two", "./one"], "the run ./one is named twice"),
    "no folder": (["one", "nowhere"], "there is no run folder nowhere"),
    "no run": (["one", "."], "holds no run: there is no config.json in it"),
    "a folder as page": (["one", "two", "--out", "one"], "--out: one is a folder"),
}


@pytest.mark.parametrize(("arguments", "message"), MISUSES.values(), ids=MISUSES)
def test_misuse_is_one_clear_line(
    arguments: list[str], message: str, runs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refused(arguments, message, capfd)


def test_a_link_to_a_run_is_the_run(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("link").symlink_to("one")
    refused(["one", "link"], "the run link is named twice", capfd)
    shutil.rmtree("two")
    Path("two").symlink_to("nowhere")
    refused(["one", "two"], "there is no run folder two", capfd)


def refused(arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    """One line, exit status 2, and no page."""
    status = cli.main(["compare", *arguments])
    out, error = capfd.readouterr()
    assert (status, out) == (2, ""), error
    assert error.startswith("minicnn: error: ") and error.count("\n") == 1 and re.search(message, error), error
    assert not Path("comparison.html").exists()
