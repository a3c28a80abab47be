"""Run folders that were damaged, or come from somebody else: one line names the file, and nothing outside changes."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import cli
from minicnn.serialization import source
from minicnn.serialization.writing import WRITERS
from minicnn.training import (
    Job,
    Progress,
    RunFolder,
    RunFolderError,
    Trainer,
    TrainingDiverged,
    checkpoint,
    load_checkpoint,
    make_config,
    save_checkpoint,
)

READ = ("config.json", "result.json", "checkpoint.npz")  # by a resumed run; the others it writes anew
WRITTEN = ("metrics.jsonl", "curves.png", "model.safetensors")

Resume = Callable[[], tuple[int, str]]


def assert_refused(resume: Resume, file: str) -> None:
    """One line that names the file and says what to do, and exit status 2."""
    status, error = resume()
    assert re.fullmatch(r"minicnn: error: [^\n]+\n", error), error
    assert (status, "debug shows" in error) == (2, False), error
    assert f"run/{file}" in error
    assert re.search("remove|move|start the run again|resume", error), error


# ---- files of the wrong kind -------------------------------------------------------------------------------------


def link(path: Path) -> None:
    """A link to a file outside that could be what it should be."""
    outside = path.parent.parent / "outside"
    outside.write_bytes(path.read_bytes() if path.exists() else b"precious")
    path.unlink(missing_ok=True)
    path.symlink_to(outside.resolve())


def folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


KINDS = {"link": link, "folder": folder, **({"pipe": pipe} if hasattr(os, "mkfifo") else {})}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", [*READ, *WRITTEN, ".lock"])
def test_what_is_no_file_of_its_own_is_refused(file: str, kind: str, run: Path, resume: Resume) -> None:
    KINDS[kind](run / file)
    outside = run.parent / "outside"
    before = outside.read_bytes() if kind == "link" else None
    assert_refused(resume, file)
    if kind == "link":
        assert outside.read_bytes() == before


def test_a_dangling_link_is_not_written_through(run: Path, resume: Resume) -> None:
    (run / "model.safetensors").unlink()
    (run / "model.safetensors").symlink_to("../outside")
    assert_refused(resume, "model.safetensors")
    assert not (run.parent / "outside").exists()


# ---- damaged content ---------------------------------------------------------------------------------------------

BYTES: dict[str, bytes] = {
    "empty": b"",
    "words": b"what is this?",
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "nested": b"[" * 100_000,
    "no text": b"\xff\xfe\x00",
    "large": b" " * (1 << 21),
}


@pytest.mark.parametrize("content", BYTES.values(), ids=BYTES)
@pytest.mark.parametrize("file", READ)
def test_other_content_is_refused(file: str, content: bytes, run: Path, resume: Resume) -> None:
    (run / file).write_bytes(content)
    assert_refused(resume, file)


def test_what_a_run_only_writes_is_written_anew(run: Path, resume: Resume) -> None:
    for file in WRITTEN:
        (run / file).write_bytes(b"what is this?")
    assert resume() == (0, "")
    assert [file for file in WRITTEN if (run / file).read_bytes() == b"what is this?"] == []


@pytest.mark.parametrize("file", READ)
def test_half_a_file_is_refused(file: str, finished: Path, run: Path, resume: Resume) -> None:
    whole = (finished / file).read_bytes()
    (run / file).write_bytes(whole[: len(whole) // 2])
    assert_refused(resume, file)


def json_entries(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all entries of a JSON object."""
    for key, value in content.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from json_entries(value, (*path, key))


POSSIBLE = [
    ("image_size", None),
    ("sync_batchnorm", True),
    ("sync_batchnorm", "missing"),
    ("autocast", None),
    ("autocast", "missing"),
    ("test_top5", "missing"),
    ("test_images", "missing"),
]
WRONG = (None, "word", [1], {}, True, float("nan"), float("inf"))


@pytest.mark.parametrize("file", ["config.json", "result.json"])
def test_every_entry_of_a_json_file_is_checked(file: str, finished: Path, run: Path) -> None:
    whole = json.loads((finished / file).read_text())
    read = {"config.json": RunFolder.read_config, "result.json": RunFolder.read_result}[file]
    for place in json_entries(whole):
        for wrong in ("missing", *WRONG):
            content = json.loads(json.dumps(whole))
            *above, key = place
            holder = content[above[0]] if above else content
            if (isinstance(holder[key], str) and isinstance(wrong, str)) or (key, wrong) in POSSIBLE:
                continue
            if wrong == "missing":
                del holder[key]
            else:
                holder[key] = wrong
            (run / file).write_text(json.dumps(content))
            with pytest.raises(RunFolderError, match=rf"^run/{file} is damaged.*({key}|best_validation)"):
                read(RunFolder("run"))


@pytest.mark.parametrize("entry", [{"test_top1": 7.0}, {"validation_top1": -0.1}, {"test_images": -3}], ids=str)
def test_a_result_that_cannot_be_is_refused(entry: dict[str, Any], finished: Path, run: Path) -> None:
    whole = json.loads((finished / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**whole, **entry}))
    with pytest.raises(RunFolderError, match=f"^run/result.json is damaged.*: {next(iter(entry))} must be"):
        RunFolder("run").read_result()


@pytest.mark.parametrize("entry", [{"batch_size": 1.5}, {"seed": 1.5}, {"lr": 1e999}, {"epochs": 10**30}], ids=str)
def test_a_number_that_cannot_be_is_refused(entry: dict[str, Any], run: Path, resume: Resume) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, **entry}))
    assert_refused(resume, "config.json")


def test_a_run_of_an_earlier_version_goes_on(run: Path, resume: Resume) -> None:
    """It does not name the settings that there were not."""
    config = json.loads((run / "config.json").read_text())
    state = load_checkpoint(run / "checkpoint.npz")
    for older in (config, state["config"]):
        del older["sync_batchnorm"], older["autocast"]
    del state["scaler"]
    (run / "config.json").write_text(json.dumps(config))
    save_checkpoint(run / "checkpoint.npz", state)
    assert resume() == (0, "")


def rewrite_archive(path: Path, change: Callable[[str, bytes], bytes]) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, change(name, content))


def npy(header: str, content: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


WEIGHT = "state/model/0.weight.npy"
MEMBERS = {
    "header that does not end": (WEIGHT, npy("{'descr': [[[[")),
    "huge shape": (WEIGHT, npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }", b"\0" * 16)),
    "objects": (WEIGHT, npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\x04N.")),
    "nested": ("meta.npy", npy("{'descr': '|u1', 'fortran_order': False, 'shape': (100000,), }", b"[" * 100_000)),
    "inflates": (WEIGHT, npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({1 << 25},), }}", bytes(1 << 25))),
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_hostile_members_of_a_checkpoint_are_refused(
    kind: str, run: Path, resume: Resume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MAX_INFLATED_BYTES", 1 << 20)
    target, hostile = MEMBERS[kind]
    rewrite_archive(run / "checkpoint.npz", lambda name, content: hostile if name == target else content)
    assert_refused(resume, "checkpoint.npz")


def test_a_long_description_is_refused(run: Path, resume: Resume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MAX_META_BYTES", 100)
    assert_refused(resume, "checkpoint.npz")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of everything in a checkpoint."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def changed(state: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    """A copy of a nested state in which the place ``path`` is changed."""
    if not path:
        return change(state)
    items = state.items() if isinstance(state, dict) else enumerate(state)
    new = {key: changed(value, path[1:], change) if key == path[0] else value for key, value in items}
    return new if isinstance(state, dict) else type(state)(new.values())


def poisoned(value: Any) -> Any:
    """NaN in the place of numbers and in arrays of them."""
    if not isinstance(value, minicnn.Tensor):
        return float("nan")
    array = value.numpy().astype(np.float64 if value.dtype.kind == "i" else value.dtype)
    array.flat[-1:] = np.nan
    return minicnn.Tensor(array)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "text": lambda value: "fast",
    "null": lambda value: None,
    "list": lambda value: ["fast"],
    "nested": lambda value: {"a": [value]},
    "NaN": poisoned,
    "other shape": lambda value: minicnn.zeros(2, 3, 5),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_place_of_a_checkpoint_is_checked(change: str, run: Path) -> None:
    """A string as learning rate, NaN in a momentum, a history of numbers, ..."""
    job = Job.resume(run)
    whole = load_checkpoint(run / "checkpoint.npz")
    before = job.trainer.model.state_dict()["0.weight"].numpy().copy()
    seen = list(places(whole))
    assert ("optimizer", "state", 0, "momentum_buffer") in seen and ("history", 1, "train_loss") in seen
    for place in seen:
        if place in (("config", "image_size"), ("config", "autocast")) and change == "null":
            continue
        save_checkpoint(run / "checkpoint.npz", changed(whole, place, CHANGES[change]))
        with pytest.raises(RunFolderError, match=r"^run/checkpoint\.npz is damaged or not a run's: [^\n]*$"):
            job.run(Progress(quiet=True))
    np.testing.assert_array_equal(job.trainer.model.state_dict()["0.weight"].numpy(), before)  # nothing of it was taken


@pytest.mark.parametrize("part", ["config", "model", "optimizer", "scheduler", "random", "history"])
def test_a_checkpoint_without_one_of_its_parts_is_refused(part: str, run: Path, resume: Resume) -> None:
    state = load_checkpoint(run / "checkpoint.npz")
    del state[part]
    save_checkpoint(run / "checkpoint.npz", state)
    assert_refused(resume, "checkpoint.npz")


# ---- what a run writes -------------------------------------------------------------------------------------------


def test_a_state_that_is_not_finite_is_never_saved(run: Path) -> None:
    """The weights may leave the numbers in the last step of an epoch, which no loss of it tells."""
    job = Job.start(make_config("tinynet", epochs=1, batch_size=256), "other")
    step = job.trainer.optimizer.step

    def overflowing_step() -> None:
        step()
        job.trainer.model[1].running_mean.numpy()[0] = np.inf
        job.trainer.model[1].running_var.numpy()[0] = np.inf  # so that the validation's loss stays finite

    job.trainer.optimizer.step = overflowing_step  # type: ignore[method-assign]
    with pytest.raises(TrainingDiverged, match="epoch 1 .*--lr"):
        job.run(Progress(quiet=True))
    assert load_checkpoint("other/checkpoint.npz")["history"] == []  # as before the first step


def test_json_never_holds_nan(run: Path) -> None:
    run_folder = RunFolder(run)
    before = run_folder.metrics.read_text()
    for write in (run_folder.append_metrics, run_folder.write_result):
        with pytest.raises(ValueError, match="JSON"):
            write({"loss": float("nan")})
    assert (run_folder.metrics.read_text(), run_folder.result.exists()) == (before, False)


def test_a_test_loss_that_is_no_number_does_not_finish_the_run(
    run: Path, resume: Resume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "forward", lambda trainer, images, targets: 2 * [minicnn.tensor(float("nan"))])
    status, error = resume()
    assert (status, error.count("\n"), "the loss became nan" in error) == (1, 1, True)
    assert not (run / "result.json").exists()


def test_a_full_disk_names_the_file_and_how_to_go_on(
    run: Path, resume: Resume, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(arrays: Any, temporary: str, metadata: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setitem(WRITERS, ".safetensors", full)
        status, error = resume()
    assert status == 1
    assert error == (
        "minicnn: error: No space left on device: run/model.safetensors; when that is repaired, go on with: "
        "minicnn train --resume run\n"
    )
    assert resume() == (0, "")


def test_a_folder_that_vanishes_is_told(run: Path, resume: Resume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "run", lambda job, *_, **options: shutil.rmtree("run") or job._save())
    status, error = resume()
    assert (status, error.count("\n")) == (1, 1)
    assert re.search("No such file or directory: run/checkpoint.npz; .*start the run again", error)


# ---- starting again ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how", [("tinynet", "--epochs", "2", "--batch-size", "256", "--out", "run"), ("--resume", "run")]
)
def test_a_run_killed_before_its_first_checkpoint_is_started_again(how: tuple[str, ...], run: Path) -> None:
    expected = load_checkpoint(run / "checkpoint.npz")["model"]
    for file in set(run.iterdir()) - {run / "config.json", run / ".lock"}:
        file.unlink()
    (run / ".checkpoint.npz.0123456789ab.tmp").write_bytes(b"half")
    assert cli.main(["train", *how, "--quiet"]) == 0
    for key, value in load_checkpoint(run / "checkpoint.npz")["model"].items():
        np.testing.assert_array_equal(value.numpy(), expected[key].numpy(), err_msg=key)
    assert not list(run.glob("*.tmp"))


def test_runs_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = make_config("resnet20")
    folders = [RunFolder.create(config) for _ in range(2)]
    assert [str(folder) for folder in folders] == ["runs/resnet20-digits-1", "runs/resnet20-digits-2"]
    assert folders[0].read_config() == config
    assert folders[0].read_result() is None


def test_a_chosen_folder_must_be_new_or_empty(tmp_path: Path) -> None:
    config = make_config("resnet20")
    RunFolder.create(config, tmp_path)  # empty: fine
    RunFolder.create(config, tmp_path)  # nothing has been trained yet: the same start again
    with pytest.raises(FileExistsError, match="--resume"):
        RunFolder.create(make_config("resnet56"), tmp_path)
    (tmp_path / "checkpoint.npz").touch()
    with pytest.raises(FileExistsError, match="--resume"):
        RunFolder.create(config, tmp_path)
    with pytest.raises(FileExistsError, match="not a folder$"):
        RunFolder.create(config, tmp_path / "config.json")
    RunFolder.create(config, tmp_path / "new" / "deep")


def test_metrics_are_cut_back_to_what_the_checkpoint_knows(tmp_path: Path) -> None:
    folder = RunFolder.create(make_config("resnet20"), tmp_path)
    folder.append_metrics({"epoch": 1})
    folder.append_metrics({"epoch": 2})
    (tmp_path / ".checkpoint.npz.0123.tmp").touch()
    folder.tidy([{"epoch": 1}])
    assert folder.metrics.read_text() == '{"epoch": 1}\n'
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "config.json", "metrics.jsonl"]
