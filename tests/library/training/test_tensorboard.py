"""Event files, read back by the writer's own protocol: one point for each epoch, whatever happened in between."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minicnn import cli
from minicnn.training import Job, Progress, RunFolderError, make_config
from minicnn.training.tensorboard import TensorBoard
from tests.library.support.tiny_training import register_tinynet

pytest.importorskip("tensorboardX", reason="writes event files")
register_tinynet()
Command = Callable[..., tuple[int, str, str]]


def events(folder: Path) -> list[Any]:
    """The events of the one file of ``folder``: records of (length, checksum, bytes, checksum)."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = (folder / "tensorboard").iterdir()
    content, place, found = path.read_bytes(), 0, []
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        found.append(Event.FromString(content[place + 12 : place + 12 + length]))
        place += length + 16
    return found


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The points of each curve: (epoch, value)."""
    found: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def assert_as_in_the_run(folder: Path) -> None:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((folder / "result.json").read_text())
    found = scalars(folder)
    kinds = ("loss", "top1", "top5")
    names = {f"{kind}/{part}": f"{part}_{kind}" for kind in kinds for part in ("train", "validation")}
    names |= {"lr": "lr", "images_per_second": "images_per_second"}
    tests = {f"{kind}/test": f"test_{kind}" for kind in kinds}
    assert found.keys() == names.keys() | tests.keys()
    for tag, name in names.items():
        assert found[tag] == [(line["epoch"], pytest.approx(line[name], rel=1e-6)) for line in lines]
    for tag, name in tests.items():
        assert found[tag] == [(len(lines), pytest.approx(result[name], rel=1e-6))]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with event files."""
    folder = tmp_path_factory.mktemp("watched") / "run"
    train = ["train", "tinynet", "--batch-size", "256", "--epochs", "2", "--lr", "0.03", "--out", str(folder)]
    assert cli.main([*train, "--quiet", "--tensorboard"]) == 0
    return folder


def test_a_run_writes_its_numbers(watched: Path) -> None:
    assert_as_in_the_run(watched)
    times = [event.wall_time for event in events(watched)]
    assert times == sorted(times)


def test_the_settings_are_hyperparameters(watched: Path) -> None:
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    found = {
        value.tag: HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for event in events(watched)
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "hparams"
    }
    settings = found["_hparams_/session_start_info"].session_start_info.hparams
    assert settings["model"].string_value == "tinynet" and settings["lr"].number_value == 0.03
    metrics = found["_hparams_/experiment"].experiment.metric_infos
    assert [info.name.tag for info in metrics] == ["loss/test", "top1/test"]
    assert "_hparams_/session_end_info" in found


class Stop:
    """A watcher that ends the process, as Ctrl-C would, after the first epoch."""

    def start(self, config: Any, history: Any) -> None: ...

    def epoch(self, line: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    def finish(self, result: dict[str, Any]) -> None: ...


@pytest.mark.parametrize(
    "stopped",
    ["behind the event", pytest.param("before the event", marks=pytest.mark.slow(2)), "without event files"],
)
def test_a_resumed_run_has_each_point_once(tmp_path: Path, stopped: str) -> None:
    job = Job.start(make_config("tinynet", epochs=2, batch_size=256), tmp_path / "run")
    board = TensorBoard(job.folder)
    job.watchers += {"behind the event": [board, Stop()], "before the event": [Stop(), board]}.get(stopped, [Stop()])
    with pytest.raises(KeyboardInterrupt):
        job.run(Progress(quiet=True))
    assert (tmp_path / "run" / "tensorboard").exists() == (stopped != "without event files")
    for path in (tmp_path / "run" / "tensorboard").glob("*"):
        path.rename(path.with_name("events.out.tfevents.1.host"))  # begun in another second
    again = Job.resume(tmp_path / "run")
    again.watchers.append(TensorBoard(again.folder))
    again.run(Progress(quiet=True))
    assert_as_in_the_run(tmp_path / "run")


def test_a_finished_run_says_so(minicnn_command: Command, watched: Path) -> None:
    status, out, error = minicnn_command("train", "--resume", str(watched), "--tensorboard")
    assert (status, out) == (2, "") and "is finished, and nothing more is written" in error


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    job = Job.start(make_config("tinynet", epochs=1), tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "events.out.tfevents.1").write_text("mine")
    (tmp_path / "run" / "tensorboard").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunFolderError, match="tensorboard is no folder"):
        job.folder.empty_tensorboard()
    assert (tmp_path / "elsewhere" / "events.out.tfevents.1").read_text() == "mine"


def test_without_the_writer_the_extra_is_named(minicnn_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    status, out, error = minicnn_command("train", "tinynet", "--out", "run", "--tensorboard")
    assert (status, out) == (2, "") and 'pip install "minicnn-lecture[tensorboard]"' in error
    assert error.count("\n") == 1 and not Path("run").exists()
