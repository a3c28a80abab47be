"""Weights in the files that training scripts write: options, paths and averages lie beside them, and nothing runs."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import os
import pathlib
import pickle
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn.errors import FileFormatError
from minicnn.serialization import load_state_dict
from tests.library.support import peers
from tests.library.support.pickle_bytes import call, dictionary, name, program, storage, tensor, text, write_zip

RAW = np.arange(6, dtype="<f4").tobytes()
RECORDS = {"data/0": RAW}
WEIGHT = tensor(storage(), (2, 3), (3, 1))
ITEMS = b"(" + text("w") + WEIGHT + b"u"


class Stage(enum.Enum):
    TRAINING = 1


class Options(dict):
    """A dictionary that remembers who made it, as configuration libraries have."""


class State(collections.OrderedDict):
    pass


class Names(list):
    pass


class Slotted:
    __slots__ = ("lr",)


def slotted() -> Slotted:
    made = Slotted()
    made.lr = 0.1
    return made


BESIDE = {
    "Namespace": argparse.Namespace(lr=0.1, data_path="/x", nested=argparse.Namespace(depth=2)),
    "enum": Stage.TRAINING,
    "enum as key": {Stage.TRAINING: 1},
    "path": pathlib.PurePosixPath("/data/x"),
    "NumPy numbers": {"best": np.float64(0.9), "epoch": np.int64(3)},
    "defaultdict": collections.defaultdict(list, a=[1]),
    "dict subclass": Options(lr=0.1),
    "list subclass": Names(["a", "b"]),
    "slots": slotted(),
    "time": datetime.datetime(2020, 1, 1),
    "duration": datetime.timedelta(1),
    "complex": 1j,
    "random state": random.getstate(),
    "NumPy's random state": np.random.default_rng(0),
    "function": os.path.join,
    "class": Options,
    "range": range(3),
    "ellipsis": ...,
}


@pytest.mark.parametrize("kind", ["zip", "legacy"])
@pytest.mark.parametrize("what", BESIDE)
def test_weights_are_found_beside_anything(tmp_path: Path, what: str, kind: str) -> None:
    torch = peers.torch()
    weights = torch.nn.Linear(3, 2).state_dict()
    content = {"args": BESIDE[what], "model": weights, "optimizer": {"state": {}, "beside": BESIDE[what]}, "epoch": 3}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=kind == "zip")
    loaded = load_state_dict(tmp_path / "w.pth")
    assert list(loaded) == ["weight", "bias"]
    np.testing.assert_array_equal(loaded["weight"].numpy(), weights["weight"].numpy())


def test_torchs_own_small_objects_lie_beside_weights_too(tmp_path: Path) -> None:
    torch = peers.torch()
    beside = {"device": torch.device("cuda", 0), "dtype": torch.float16, "size": torch.Size([2]), "sum": torch.sum}
    torch.save({"state_dict": {"w": torch.ones(2)}, "beside": beside}, tmp_path / "w.pth")
    assert load_state_dict(tmp_path / "w.pth")["w"].tolist() == [1, 1]


@pytest.mark.parametrize("key", ["state_dict", "model", "model_ema", "state_dict_ema", "ema"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module."])
def test_weights_lie_under_the_usual_names(tmp_path: Path, key: str, prefix: str) -> None:
    torch = peers.torch()
    state = State({f"{prefix}w": torch.ones(2)})
    if "ema" in key:
        state["n_averaged"] = torch.tensor(5)
    torch.save({key: state, "args": argparse.Namespace()}, tmp_path / "w.pth")
    assert {name: value.tolist() for name, value in load_state_dict(tmp_path / "w.pth").items()} == {"w": [1, 1]}


def test_an_average_is_taken_for_want_of_the_weights_only(tmp_path: Path) -> None:
    torch = peers.torch()
    content = {"model_ema": {"module.w": torch.zeros(2)}, "model": {"w": torch.ones(2)}}
    torch.save(content, tmp_path / "w.pth")
    assert load_state_dict(tmp_path / "w.pth")["w"].tolist() == [1, 1]


def test_a_pickled_model_is_named_and_not_taken_apart(tmp_path: Path) -> None:
    torch = peers.torch()
    torch.save(torch.nn.Linear(3, 2), tmp_path / "w.pth")
    with pytest.raises(FileFormatError, match=r"a pickled 'torch.nn.modules.linear.Linear': .*state_dict\(\)"):
        load_state_dict(tmp_path / "w.pth")


def test_load_refuses_as_pytorch_does_and_says_what_finds_the_weights(tmp_path: Path) -> None:
    torch = peers.torch()
    torch.save({"model": {}, "args": argparse.Namespace()}, tmp_path / "w.pth")
    with pytest.raises(FileFormatError, match=r"asks for 'argparse.Namespace'.*load_state_dict"):
        minicnn.load(tmp_path / "w.pth")


def hostile(marker: Path) -> dict[str, bytes]:
    """Python's own reader would touch ``marker`` at each of them."""
    shell = text(f"touch {marker}")
    system = name("os", "system")
    return {
        "REDUCE": system + b"(" + shell + b"tR",
        "OBJ": b"(" + system + shell + b"o",
        "INST": b"(" + shell + b"ios\nsystem\n",
        "a partial": call(call(name("functools", "partial"), system, shell)),
        "eval": call(name("builtins", "eval"), text(f"__import__('os').system('touch {marker}')")),
        "a module imported by name": call(
            call(name("builtins", "getattr"), call(name("builtins", "__import__"), text("os")), text("system")), shell
        ),
    }


@pytest.mark.parametrize("how", list(hostile(Path("x"))))
def test_nothing_runs_and_nothing_is_imported(tmp_path: Path, how: str) -> None:
    marker = tmp_path / "marker"
    payload = hostile(marker)[how]
    pickle.loads(program(payload))
    assert marker.exists(), "the payload itself does not work"
    marker.unlink()
    body = (
        b"}(" + text("model") + b"}" + ITEMS + text("args") + payload + text("more") + name("antigravity", "x") + b"u"
    )
    seen: list[str] = []
    modules = set(sys.modules)
    sys.addaudithook(lambda event, _: seen.append(event))
    path = write_zip(tmp_path / "w.pth", body, RECORDS)
    load_state_dict(path)  # what minicnn imports for itself is there now
    seen.clear()
    assert load_state_dict(path)["w"].shape == (2, 3)
    assert not {"os.system", "subprocess.Popen", "exec", "import", "compile"} & set(seen)
    assert not marker.exists()
    assert "antigravity" not in set(sys.modules) - modules


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (dictionary({"model": name("collections", "OrderedDict") + b")\x81"}), "makes an object of a Call"),
        (dictionary({"model": b"}" + b")\x81"}), "makes an object of a dict"),
        (dictionary({"model": b"}" + b"}b"}), "sets the inner state of a dict"),
        (dictionary({"model": text("x") + b")R"}), "calls a str"),
        (dictionary({"model": tensor(storage(), (7,), (1,)), "args": name("os", "system")}), "would reach element 6"),
        (dictionary({"args": name("os", "system") + b"Q"}), "outside that is not a tensor's storage"),
        (dictionary({"model": name("torch._utils", "_rebuild_sparse_tensor")}), "a dictionary of 1 entries"),
        (b"o", "closes more groups"),
        (b"(o", "makes an object of a NoneType"),
    ],
)
def test_what_is_damaged_stays_an_error(tmp_path: Path, body: Any, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        load_state_dict(write_zip(tmp_path / "w.pth", body, RECORDS))


def test_paths_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for suffix in ("npz", "safetensors"):
        minicnn.save({"w": minicnn.ones(2)}, f"~/w.{suffix}")
        assert (tmp_path / f"w.{suffix}").is_file()
        assert minicnn.load(Path(f"~/w.{suffix}"))["w"].tolist() == [1, 1]
        assert load_state_dict(f"~/w.{suffix}".encode())["w"].tolist() == [1, 1]


def test_a_name_of_a_file_cannot_speak_to_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "w\x1b[31m.pth"
    path.write_bytes(b"nothing")
    with pytest.raises(FileFormatError) as caught:
        minicnn.load(path)
    assert str(caught.value).isprintable()
