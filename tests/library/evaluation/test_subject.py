"""What is evaluated: the same images as in training, other data by the names of its classes, and what does not fit."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import minicnn
from minicnn import cli
from minicnn.data import ConcatDataset, DataError, DataLoader, Subset, open_data
from minicnn.data.bundled import bundled_digits
from minicnn.evaluation import Evaluation, evaluate
from minicnn.evaluation.subject import Subject, file_of, match_classes, open_subject
from minicnn.training import RunFolder
from minicnn.training.job import one_blas_thread
from tests.library.support.blots import save_tinynet
from tests.library.support.image_folders import make_folder, photos
from tests.library.support.published_files import write_cifar10_python
from tests.library.support.tiny_training import register_tinynet

from .conftest import train

register_tinynet()


def evaluated(subject: Subject) -> Evaluation:
    loader = DataLoader(subject.dataset, subject.batch_size, seed=0)
    with one_blas_thread():
        return evaluate(subject.classifier.model, loader, label_smoothing=subject.label_smoothing, compiled=True)


def digits_run(folder: Path) -> list[str]:
    return []


def cifar_run(folder: Path) -> list[str]:
    write_cifar10_python(folder / "cifar")
    return ["--data", f"cifar10:{folder / 'cifar'}", "--image-size", "8", "--epochs", "1"]


def folder_run(folder: Path) -> list[str]:
    make_folder(folder / "photos")
    return ["--data", f"folder:{folder / 'photos'}", "--image-size", "8", "--epochs", "1", "--batch-size", "8"]


@pytest.mark.parametrize("kind", [digits_run, cifar_run, folder_run])
def test_a_run_is_tested_again_to_the_last_digit(kind: Any, tmp_path: Path) -> None:
    run = RunFolder(train(tmp_path / "run", *kind(tmp_path)))
    result, line = json.loads(run.result.read_text()), run.read_metrics()[-1]
    test, validation = (evaluated(open_subject(str(run), split=split)) for split in ("test", "validation"))
    assert {"loss": result["test_loss"], "top1": result["test_top1"]}.items() <= test.means.items()
    assert test.count == result["test_images"]
    assert (validation.loss, validation.top1) == (line["validation_loss"], line["validation_top1"])


def test_the_images_of_all_parts_are_not_augmented(runs: Path) -> None:
    subjects = {split: open_subject("one", split=split) for split in ("train", "validation", "test", "all")}
    sizes = {split: len(subject.dataset) for split, subject in subjects.items()}
    assert sizes == {"train": 1260, "validation": 179, "test": 358, "all": 1797}
    first, again = ([np.asarray(subjects["train"].dataset[i][0].numpy()) for i in range(5)] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    pixels = subjects["train"].plain[3][0].numpy()
    assert pixels.min() >= 0 and pixels.max() <= 1


def test_the_weights_of_a_run_as_a_file(runs: Path) -> None:
    """Nothing but the file: its card has the transform, so that only the run's settings are missing."""
    own, other = open_subject("one"), open_subject("tinynet", "one/model.safetensors", "digits")
    assert (other.name, other.batch_size, other.label_smoothing) == ("tinynet", 32, 0.0)
    assert evaluated(own).top1 == pytest.approx(evaluated(other).top1)
    assert open_subject("tinynet", "one").label_smoothing == 0.1  # a run folder as weights is a run


def digit_folder(root: Path, count: int, dark: bool) -> None:
    images, labels = bundled_digits()
    for number in range(count):
        pixels = (images[number] * 255.0 / 16).round().astype(np.uint8)
        (root / str(labels[number])).mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - pixels if dark else pixels).save(root / str(labels[number]) / f"{number:03}.png")


@pytest.mark.parametrize("dark", [False, True])
def test_pictures_of_digits_are_recognised_in_any_ink(dark: bool, runs: Path) -> None:
    """As ``minicnn predict`` does it: dark on white is brought to what the network has learned."""
    digit_folder(runs / "drawn", 60, dark)
    subject = open_subject("one", data="folder:drawn", split="all")
    assert len(subject.dataset) == 60 and evaluated(subject).top1 > 0.6


def test_a_small_folder_is_taken_whole_and_shown_as_it_is(tmp_path: Path) -> None:
    save_tinynet(tmp_path / "w.npz")
    photos(tmp_path / "photos", ("cat", "fox"))
    subject = open_subject("tinynet", str(tmp_path / "w.npz"), f"folder:{tmp_path / 'photos'}", "all")
    found = evaluated(subject)
    assert [subject.dataset[i][1] for i in range(2)] == [0, 2]
    assert found.targets.tolist() == [0, 2] and found.num_classes == 3  # dog has no image
    assert [subject.plain[i][0].size for i in range(2)] == [(8, 8)] * 2
    assert [file_of(subject.plain, i) for i in range(2)] == [
        tmp_path / f"photos/{name}/a.png" for name in ("cat", "fox")
    ]


def test_files_are_found_through_parts_and_sums(tmp_path: Path) -> None:
    source = open_data(f"folder:{make_folder(tmp_path / 'photos')}", image_size=8)
    both = ConcatDataset([source.test, Subset(source.train, [3, 1])])
    every = [file_of(both, i) for i in range(len(both))]
    train = [file_of(source.train, i) for i in (3, 1)]
    assert every == [*(file_of(source.test, i) for i in range(len(source.test))), *train] and None not in every
    assert file_of(open_data("digits").test, 0) is None


# ---- classes -----------------------------------------------------------------------------------------------------


def test_classes_are_found_by_their_names() -> None:
    order, note = match_classes(["fox", "cat"], ["cat", "dog", "fox"])
    assert order.tolist() == [2, 0] and note == ""
    same = ["a", "a", "b"]
    assert match_classes(same, same)[0].tolist() == [0, 1, 2]


def test_as_many_unknown_classes_are_taken_in_their_order() -> None:
    order, note = match_classes(["n01", "n02"], ["tench", "goldfish"])
    assert order.tolist() == [0, 1] and "'n01' as 'tench'" in note


@pytest.mark.parametrize(
    ("classes", "labels", "message"),
    [
        (["cat", "cow"], ["cat", "dog"], r"1 of the data's 2 classes are none of .* 2: cow \(it knows cat, dog"),
        (["a", "b", "c", "d"], ["x", "y"], r"4 of the data's 4 .* 2: a, b, c, \.\.\. \(it knows x, y;"),
        (["\x1b[31m"], ["x", "y"], r"\\x1b\[31m"),
    ],
)  # fmt: skip
def test_classes_that_do_not_fit_are_refused(classes: list[str], labels: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        match_classes(classes, labels)


# ---- misuse ------------------------------------------------------------------------------------------------------

MISUSES: dict[str, tuple[list[str], str]] = {
    "nothing there": (["nowhere"], "there is no run folder nowhere"),
    "no run": (["empty"], "empty holds no run: there is no config.json in it"),
    "a model without weights": (["resnet20"], "resnet20 needs the weights of .*: name them with --weights"),
    "no data": (["tinynet", "--weights", "w.npz"], "tinynet needs images: name them with --data"),
    "no such data": (["one", "--data", "cifar:x"], "--data cifar:x: no data set is called 'cifar:x'.*did you mean"),
    "no such folder": (["one", "--data", "folder:x"], "--data folder:x: .*x"),
    "an empty class": (
        ["tinynet", "--weights", "w.npz", "--data", "folder:hollow", "--split", "all"],
        "no image in the class folder dog",
    ),
    "other classes": (["tinynet", "--weights", "w.npz", "--data", "digits"], "10 of the data's 10 classes are none of"),
    "too few": (["tinynet", "--weights", "w.npz", "--data", "folder:few"], "too few images .*none left for"),
    "another model": (["resnet20", "--weights", "one", "--data", "digits"], "model resnet20 contradicts .*for tinynet"),
    "another architecture": (
        ["resnet20", "--weights", "bare.npz", "--data", "digits", "--classes", "3"],
        "do not fit resnet20",
    ),
    "other names": (["one", "--data", "folder:few", "--split", "all"], "2 of the data's 2 classes .* 10: cat, dog"),
    "too large": (["one", "--size", "16"], r"tinynet does not fit images of 16x16 \(see --size\)"),
    "split": (["one", "--split", "both"], "--split: invalid choice"),
    "a file as folder": (["one", "--out", "w.npz"], "--out: w.npz exists already and is not a folder"),
    "below a file": (["one", "--out", "w.npz/x"], "--out: .*w.npz exists already and is not a folder"),
    "device": (["one", "--device", "cuda:99"], "needs CuPy|needs an NVIDIA GPU|got cuda:99"),
    "the run's device": (["far"], "the run was trained on cuda:99, and --device cpu evaluates it here: .*GPU"),
    "unfinished": (["started"], "the folder started holds no model.safetensors: finish its run with"),
    "labels": (["one", "--labels", "x.txt"], "label file 'x.txt': No such file"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), MISUSES.values(), ids=MISUSES)
def test_misuse_is_one_clear_line(
    arguments: list[str], message: str, runs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = save_tinynet(runs / "w.npz")
    minicnn.save(model.state_dict(), runs / "bare.npz")
    (runs / "empty").mkdir()
    (runs / "started").mkdir()
    (runs / "started/config.json").write_bytes((runs / "one/config.json").read_bytes())
    shutil.copytree(runs / "one", runs / "far")
    config = json.loads((runs / "far/config.json").read_text())
    (runs / "far/config.json").write_text(json.dumps({**config, "device": "cuda:99"}))
    photos(runs / "hollow")
    (runs / "hollow/dog/a.png").unlink()
    photos(runs / "few")
    capfd.readouterr()
    before = sorted(runs.rglob("*"))
    status = cli.main(["evaluate", *arguments])
    out, error = capfd.readouterr()
    assert (status, out) == (2, ""), error
    assert error.startswith("minicnn: error: ") and error.count("\n") == 1 and re.search(message, error), error
    assert sorted(runs.rglob("*")) == before
