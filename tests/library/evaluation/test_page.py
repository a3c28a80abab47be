"""Both forms of an evaluation, the page and the numbers: complete, of a sensible size, and safe with foreign text."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import cli, nn
from minicnn.data import ArrayDataset
from minicnn.data.transforms import ImageClassification
from minicnn.evaluation import Evaluation, confusion_matrix
from minicnn.evaluation.page import PAIRS, page
from minicnn.evaluation.pictures import SIDE, thumbnail
from minicnn.evaluation.report import FEW_CLASSES, HARDEST, MISTAKES, as_dict, lines
from minicnn.evaluation.subject import Subject
from minicnn.models import Classifier
from tests.library.support.blots import save_tinynet
from tests.library.support.image_folders import photos

HOSTILE = "<script>alert(1)</script>\x1b[31m & \"'"


def made(labels: tuple[str, ...], count: int = 400, wrong: float = 0.3, side: int = 8) -> tuple[Subject, Evaluation]:
    """An evaluation of random answers, of which a share is wrong, on images of noise."""
    rng = np.random.default_rng(0)
    classes = len(labels)
    targets = rng.integers(0, classes, count)
    predictions = np.where(rng.random(count) < wrong, (targets + rng.integers(1, classes, count)) % classes, targets)
    missed = predictions != targets
    confidences = rng.uniform(0.5, 1, count)
    evaluation = Evaluation(
        classes, targets, predictions, confidences, rng.random(count), missed.astype(np.int64),
        {"loss": 0.5, "top1": float(1 - missed.mean()), "top5": 1.0},
    )  # fmt: skip
    images = ArrayDataset(rng.integers(0, 256, (count, 3, side, side), dtype=np.uint8), targets)
    classifier = Classifier("tinynet", nn.Identity(), ImageClassification(8, 8), labels, 3)
    return Subject("a run", Path("w.npz"), classifier, "cifar10:x", "test", images, images, 0.0, 32, "cpu"), evaluation


class Balance(HTMLParser):
    """Counts tags that are not closed in their order."""

    VOID = ("meta", "img", "br", "rect", "path", "line", "circle")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def require_well_formed(text: str) -> None:
    parser = Balance()
    parser.feed(text)
    assert not parser.open
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)  # nothing is loaded
    assert "nan" not in re.sub(r"data:image[^\"]*", "", text).lower()


def test_few_classes_are_a_grid_with_the_counts_of_the_matrix() -> None:
    subject, evaluation = made(tuple("abcdefgh"))
    text = page(subject, evaluation, "minicnn evaluate x")
    require_well_formed(text)
    cells = re.findall(r'<td class="(none|right|wrong)" style="--share:[\d.]+">(\d+|·)</td>', text)
    counts = np.array([0 if count == "·" else int(count) for _, count in cells]).reshape(8, 8)
    assert counts.tolist() == confusion_matrix(evaluation.targets, evaluation.predictions, 8).tolist()
    assert text.count("<figure>") == MISTAKES and "data:image/png" in text
    assert len(text) < 150_000


def test_a_thousand_classes_stay_readable_and_small() -> None:
    labels = tuple(f"class number {i}" for i in range(1000))
    subject, evaluation = made(labels, 5000, side=128)
    text = page(subject, evaluation, "minicnn evaluate x")
    require_well_formed(text)
    assert 'class="confusion"' not in text and text.count("of 5") < 100
    assert len(text) < 1_500_000  # of which noise in the pictures is the most
    printed = lines(subject, evaluation)
    assert len(printed) < 20 and max(map(len, printed)) <= 80
    assert printed[-1] == "  (the classes with the lowest F1; all are on the page)"
    assert len([line for line in printed if "class number" in line]) == HARDEST
    pairs = re.search(r"taken for</th>.*?</table>", text[text.index("most frequent mistakes") :], re.S)
    assert pairs and pairs[0].count("<tr>") == PAIRS
    content = as_dict(subject, evaluation)
    assert len(json.dumps(content, allow_nan=False)) < 500_000
    rebuilt = np.zeros((1000, 1000), int)
    for i, j, count in content["confusion"]:
        rebuilt[i, j] = count
    assert (rebuilt == evaluation.confusion).all()


def test_a_few_of_a_thousand_classes_are_shown_as_few() -> None:
    labels = tuple(f"class number {i}" for i in range(1000))
    subject, evaluation = made(labels, 200)
    evaluation = replace(evaluation, targets=evaluation.targets % 2 + 7, predictions=np.full(200, 8))
    text = page(subject, evaluation, "x")
    require_well_formed(text)
    assert "200 images in 2 of 1,000 classes" in text and 'class="confusion"' in text
    assert text.count('<th scope="row">') == 2 and "class number 9" not in text
    assert ["class", "number", "8"] in [line.split()[:3] for line in lines(subject, evaluation)]
    assert len(lines(subject, evaluation)) == 8


@pytest.mark.parametrize("classes", [3, FEW_CLASSES + 1])
def test_foreign_text_is_text(classes: int) -> None:
    labels = tuple(f"{HOSTILE} {i}" for i in range(classes))
    subject, evaluation = made(labels)
    subject = replace(subject, name=HOSTILE, data=f"folder:{HOSTILE}", weights=Path(HOSTILE))
    text = page(subject, evaluation, HOSTILE)
    require_well_formed(text)
    assert "<script" not in text and "\x1b" not in text and "&lt;script&gt;" in text
    assert not any("\x1b" in line for line in lines(subject, evaluation))


def test_nothing_wrong_and_nothing_known() -> None:
    subject, evaluation = made(tuple("abc"), wrong=0)
    text = page(subject, evaluation, "x")
    assert "every image was recognised" in text and "There are none." in text
    alone = Evaluation(3, *(np.array([0]) for _ in range(2)), np.array([0.5]), *(np.array([0]) for _ in range(2)),
                       {"loss": 0.5, "top1": 1.0})  # fmt: skip
    require_well_formed(page(subject, alone, "x"))
    classes = as_dict(subject, alone)["classes"]
    assert [c["recall"] for c in classes] == [1.0, None, None] and [c["f1"] for c in classes] == [1.0, None, None]
    assert [line.split()[2:] for line in lines(subject, alone)[-2:]] == [["-", "-", "-"]] * 2


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 300, 200), (3, 20, 400)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_thumbnail_shows_the_pixels(shape: tuple[int, ...], kind: Any) -> None:
    import base64
    import io

    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    source, width, height = thumbnail(pixels if kind is np.uint8 else pixels.astype(np.float32) / 255)
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        assert image.size == (width, height) and max(image.size) <= SIDE
        if max(shape) <= SIDE:
            np.testing.assert_array_equal(np.asarray(image), pixels[0])


# ---- the command -------------------------------------------------------------------------------------------------


def test_the_command_writes_a_page_beside_its_numbers(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "one"]) == 0
    out, error = capfd.readouterr()
    assert out.splitlines()[-1] == "page: evaluations/one-test-1/evaluation.html" and error == ""
    folder = runs / "evaluations/one-test-1"
    assert sorted(path.name for path in folder.iterdir()) == ["evaluation.html", "evaluation.json"]
    content = json.loads((folder / "evaluation.json").read_text())
    result = json.loads((runs / "one/result.json").read_text())
    assert (content["top1"]["accuracy"], content["loss"]) == (result["test_top1"], result["test_loss"])
    assert sum(each["images"] for each in content["classes"]) == content["data"]["images"] == 358
    assert (
        f"{100 * result['test_top1']:.2f} %" in out
        and f"{100 * result['test_top1']:.2f} %" in (folder / "evaluation.html").read_text()
    )
    assert cli.main(["evaluate", "one", "--json", "--out", "here"]) == 0  # the run folder stays as it was
    assert json.loads(capfd.readouterr().out) == content == json.loads((runs / "here/evaluation.json").read_text())
    assert cli.main(["evaluate", "one", "--quiet", "--split", "all"]) == 0
    assert re.fullmatch(r"all accuracy \d+\.\d\d %\npage: evaluations/one-all-1/.*\n", capfd.readouterr().out)
    assert {path.name for path in (runs / "one").iterdir()} == {path.name for path in (runs / "two").iterdir()}


def test_weights_of_no_network_are_a_failure_and_leave_nothing(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    state = minicnn.load(runs / "one/model.safetensors")
    state["0.weight"] = minicnn.full((4, 3, 3, 3), float("nan"))
    minicnn.save(state, runs / "w.npz")
    status = cli.main(["evaluate", "tinynet", "--weights", "w.npz", "--classes", "10", "--data", "digits"])
    out, error = capfd.readouterr()
    assert (status, out) == (1, "")
    assert "the network's logits are not finite" in error and error.count("\n") == 1
    assert not (runs / "evaluations").exists()


def test_a_file_that_cannot_be_read_is_named(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_tinynet(runs / "w.npz")
    (photos(runs / "photos", ("cat", "dog")) / "dog/b.png").write_bytes(b"broken")
    known = ("tinynet", "--weights", "w.npz", "--data", "folder:photos", "--split", "all", "--out", "page")
    status = cli.main(["evaluate", *known])
    out, error = capfd.readouterr()
    assert (status, out, error.count("\n")) == (1, "", 1) and "cannot read 'photos/dog/b.png'" in error
    assert not Path("page").exists()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_terminals_only(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    for kind in (Terminal, io.StringIO):
        error = kind()
        monkeypatch.setattr("sys.stderr", error)
        assert cli.main(["evaluate", "one", "--quiet", "--out", "page"]) == 0
        shown[kind] = error.getvalue()
    monkeypatch.undo()
    assert "/358 [" in shown[Terminal] and shown[io.StringIO] == ""
