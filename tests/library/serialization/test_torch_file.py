"""``minicnn.load`` reads what ``torch.save`` wrote: every dtype, view, protocol and wrapping, in both
formats."""

from __future__ import annotations

import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.errors import FileFormatError
from minicnn.serialization import load_metadata, load_state_dict
from tests.library.support import peers
from tests.library.support.pickle_bytes import (
    dictionary,
    integer,
    legacy_storage,
    name,
    program,
    storage,
    tensor,
    text,
    write_legacy,
    write_zip,
)

VALUES = np.arange(6, dtype="<f4")
FORMATS = {"zip": True, "legacy": False}  # what _use_new_zipfile_serialization is


def saved(torch: Any, content: Any, path: Path, kind: str = "zip", protocol: int = 2) -> Path:
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=FORMATS[kind])
    return path


def assert_equal(got: Any, expected: Any, torch: Any) -> None:
    """The same containers, and in them the same tensors; half precision has become float32."""
    if isinstance(expected, torch.Tensor):
        expected = expected.detach()
        expected = expected.float() if expected.dtype in (torch.float16, torch.bfloat16) else expected
        assert isinstance(got, minicnn.Tensor) and not got.requires_grad
        assert got.dtype == expected.numpy().dtype and got.dtype.isnative
        assert got.shape == tuple(expected.shape)
        np.testing.assert_array_equal(got.numpy(), expected.numpy())
    elif isinstance(expected, dict):
        assert type(got) is type(expected) and list(got) == list(expected)
        for key in expected:
            assert_equal(got[key], expected[key], torch)
    elif isinstance(expected, (list, tuple)):
        assert type(got) is (tuple if isinstance(expected, tuple) else list) and len(got) == len(expected)
        for item, expected_item in zip(got, expected, strict=True):
            assert_equal(item, expected_item, torch)
    elif isinstance(expected, np.ndarray):
        assert got.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")  # NumPy itself may swap bytes
        np.testing.assert_array_equal(got, expected)
    else:
        assert type(got) is type(expected) and got == expected


# ---- without PyTorch: files written by hand ----------------------------------------------------------------


@pytest.mark.parametrize("byteorder", ["little", "big"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_file_written_by_hand(tmp_path: Path, byteorder: str, compression: int) -> None:
    body = dictionary({"a.b": tensor(storage(), (2, 3), (3, 1)), "t": tensor(storage(), (2, 2), (1, 2), offset=1)})
    raw = VALUES.astype(">f4" if byteorder == "big" else "<f4").tobytes()
    records = {"data/0": raw, "byteorder": byteorder.encode()}
    loaded = minicnn.load(write_zip(tmp_path / "w.pth", body, records, compression))
    assert loaded["a.b"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded["t"].tolist() == [[1, 3], [2, 4]]
    assert loaded["a.b"].dtype.isnative
    loaded["a.b"].numpy()[0, 1] = 9  # they are views of one storage
    assert loaded["t"].tolist() == [[9, 3], [2, 4]]


def test_a_legacy_file_written_by_hand(tmp_path: Path) -> None:
    body = dictionary({"x": tensor(storage(), (6,), (1,)), "y": tensor(storage("key", 2, "LongStorage"), (2,), (1,))})
    longs = np.array([7, 8], "<i8").tobytes()
    loaded = minicnn.load(write_legacy(tmp_path / "w.pth", body, {"0": (6, VALUES.tobytes()), "key": (2, longs)}))
    assert loaded["x"].tolist() == [0, 1, 2, 3, 4, 5]
    assert loaded["y"].tolist() == [7, 8]


def test_an_archive_in_zip64(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for record, data in {
            "data.pkl": program(dictionary({"x": tensor(storage(), (6,), (1,))})),
            "data/0": VALUES.tobytes(),
        }.items():
            with archive.open(f"archive/{record}", "w", force_zip64=True) as stream:
                stream.write(data)
    assert minicnn.load(path)["x"].tolist() == [0, 1, 2, 3, 4, 5]


def test_bools_are_true_or_false(tmp_path: Path) -> None:
    body = dictionary({"x": tensor(storage("0", 4, "BoolStorage"), (4,), (1,))})
    loaded = minicnn.load(write_zip(tmp_path / "w.pth", body, {"data/0": b"\x00\x01\x02\xff"}))["x"]
    assert loaded.numpy().tobytes() == b"\x00\x01\x01\x01"


@pytest.mark.parametrize("kind", FORMATS)
def test_python_2_strings_are_text(tmp_path: Path, kind: str) -> None:
    body = b"}(" + b"U\x03a.b" + tensor(storage(), (6,), (1,)) + b"u"  # SHORT_BINSTRING
    if kind == "zip":
        path = write_zip(tmp_path / "w.pth", body, {"data/0": VALUES.tobytes()})
    else:
        path = write_legacy(tmp_path / "w.pth", body, {"0": (6, VALUES.tobytes())})
    assert list(minicnn.load(path)) == ["a.b"]


def test_writing_into_a_loaded_tensor_leaves_the_file(tmp_path: Path) -> None:
    body = dictionary({"x": tensor(storage(), (6,), (1,))})
    path = write_zip(tmp_path / "w.pth", body, {"data/0": VALUES.tobytes()})
    before = path.read_bytes()
    loaded = minicnn.load(path)["x"]
    loaded.numpy()[:] = -1
    assert loaded.tolist() == [-1] * 6
    assert path.read_bytes() == before


def test_only_the_weights_are_taken_from_a_checkpoint(tmp_path: Path) -> None:
    weights = dictionary({"module.a": tensor(storage(), (6,), (1,)), "module.b": tensor(storage(), (1,), (1,))})
    body = dictionary({"epoch": b"K\x03", "arch": text("resnet"), "model": weights})
    path = write_zip(tmp_path / "w.pth", body, {"data/0": VALUES.tobytes()})
    loaded = minicnn.load(path)
    assert (loaded["epoch"], loaded["arch"], list(loaded["model"])) == (3, "resnet", ["module.a", "module.b"])
    assert list(load_state_dict(path)) == ["a", "b"]
    assert load_metadata(path) == {}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["module.a", "module.b"], ["a", "b"]),
        (["_orig_mod.a"], ["a"]),
        (["_orig_mod.module.a"], ["a"]),
        (["module._orig_mod.a"], ["a"]),
        (["module.a", "b"], ["module.a", "b"]),
        (["module."], ["module."]),
    ],
)
def test_wrappers_are_removed_where_all_keys_have_them(tmp_path: Path, keys: list[str], expected: list[str]) -> None:
    minicnn.save({key: np.zeros(1) for key in keys}, tmp_path / "w.npz")
    assert list(load_state_dict(tmp_path / "w.npz")) == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"K\x03", "holds a int"),
        (b"}", "a dictionary of 0 entries"),
        (dictionary({"epoch": b"K\x03", "log": b"]"}), "a dictionary of 2 entries: 'epoch': int, 'log': list"),
        (dictionary({f"key{i}": b"K\x03" for i in range(20)}), r"20 entries: .*'key7': int, \.\.\.$"),
    ],
)
def test_a_file_without_weights_says_what_it_holds(tmp_path: Path, body: bytes, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        load_state_dict(write_zip(tmp_path / "w.pth", body))


# ---- real files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_a_state_dict(tmp_path: Path, kind: str, protocol: int) -> None:
    torch = peers.torch()
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    loaded = minicnn.load(saved(torch, model.state_dict(), tmp_path / "w.pth", kind, protocol))
    assert_equal(loaded, model.state_dict(), torch)
    assert type(loaded) is OrderedDict
    assert loaded._metadata == model.state_dict()._metadata


@pytest.mark.parametrize("kind", FORMATS)
@given(
    dtype=st.sampled_from(
        ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    ),
    shape=st.lists(st.integers(0, 4), max_size=4),
    seed=st.integers(0, 1000),
)
def test_every_dtype_and_shape(tmp_path_factory: Any, kind: str, dtype: str, shape: list[int], seed: int) -> None:
    torch = peers.torch()
    generator = torch.Generator().manual_seed(seed)
    values = (torch.randn(shape, generator=generator) * 50).to(getattr(torch, dtype))
    path = saved(torch, {"x": values}, tmp_path_factory.getbasetemp() / "dtype.pth", kind)
    assert_equal(minicnn.load(path), {"x": values}, torch)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("mmap", [True, False])
def test_views_keep_their_shape_and_share_their_memory(tmp_path: Path, kind: str, mmap: bool) -> None:
    torch = peers.torch()
    base = torch.arange(24.0).reshape(2, 3, 4)
    content = {
        "base": base,
        "transposed": base.permute(2, 0, 1),
        "tail": base[1:, 1:],
        "steps": base[..., ::2],
        "one": base[1, 2, 3],
        "row": base[0, 1],
        "repeated": torch.arange(3.0).expand(4, 3),
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "same": base,
        "half": torch.arange(4).half(),
    }
    content["half tail"] = content["half"][2:]
    loaded = minicnn.load(saved(torch, content, tmp_path / "w.pth", kind), mmap=mmap)
    assert_equal(loaded, content, torch)
    assert loaded["same"] is loaded["base"]
    loaded["base"].numpy()[1, 2, 3] = -1
    loaded["half"].numpy()[3] = -1
    assert loaded["one"].item() == loaded["transposed"].numpy()[3, 1, 2] == loaded["half tail"].numpy()[1] == -1


@pytest.mark.parametrize("kind", FORMATS)
def test_parameters_and_tensors_with_attributes(tmp_path: Path, kind: str) -> None:
    torch = peers.torch()
    plain = torch.nn.Parameter(torch.arange(3.0))
    decorated, tagged = torch.nn.Parameter(torch.ones(2)), torch.zeros(2)
    decorated.note = tagged.note = "written on it"
    content = [plain, decorated, tagged, plain.detach()]
    assert_equal(minicnn.load(saved(torch, content, tmp_path / "w.pth", kind)), content, torch)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_whole_training_checkpoint(tmp_path: Path, kind: str, protocol: int) -> None:
    torch = peers.torch()
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    content = {
        "epoch": 3,
        "best": np.float64(98.5),
        "count": np.int32(-7),
        "history": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
        "empty": np.zeros((0, 3)),
        "mask": np.array([True, False]),
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "milestones": scheduler.state_dict()["milestones"],
        "rng": torch.get_rng_state(),
        "numpy rng": np.random.RandomState(0).get_state(),
        "seen": {1, 2},
        "raw": [b"\x00\xff", b""],
        "more": bytearray(b"\x80"),
        "size": torch.Size([2, 3]),
        "nothing": None,
        "nested": [(1, 2.5), {"flag": True, 5: "five", None: -(2**70)}],
    }
    path = saved(torch, content, tmp_path / "w.pth", kind, protocol)
    assert_equal(minicnn.load(path), {**content, "size": (2, 3)}, torch)
    assert_equal(dict(load_state_dict(path)), dict(model.state_dict()), torch)


def test_loading_leaves_numpys_dtypes_alone(tmp_path: Path) -> None:
    torch = peers.torch()
    minicnn.load(saved(torch, {"big": np.arange(3, dtype=">f8")}, tmp_path / "w.pth"))
    assert np.dtype("f8").isnative and np.float64(1).dtype.isnative


def test_dtypes_and_devices_come_as_text(tmp_path: Path) -> None:
    torch = peers.torch()
    content = {
        "dtype": torch.bfloat16,
        "device": torch.device("cuda:1"),
        "cpu": torch.device("cpu"),
        "l": torch.strided,
    }
    expected = {"dtype": "torch.bfloat16", "device": "cuda:1", "cpu": "cpu", "l": "torch.strided"}
    assert minicnn.load(saved(torch, content, tmp_path / "w.pth")) == expected


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64"])
def test_dtypes_without_a_storage_class(tmp_path: Path, dtype: str) -> None:
    torch = peers.torch()
    values = torch.arange(5).to(getattr(torch, dtype))
    assert_equal(minicnn.load(saved(torch, [values, values[2:]], tmp_path / "w.pth")), [values, values[2:]], torch)


@pytest.mark.filterwarnings("ignore")  # TorchScript and quantisation are on their way out
@pytest.mark.parametrize("kind", FORMATS)
def test_what_torch_can_save_and_we_cannot_hold(tmp_path: Path, kind: str) -> None:
    torch = peers.torch()
    script = tmp_path / "script.pth"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), script)
    cases = {
        "torch.nn.modules.linear.Linear": torch.nn.Linear(2, 2),
        "ComplexFloatStorage": torch.zeros(2, dtype=torch.complex64),
        "_rebuild_sparse_tensor": torch.eye(2).to_sparse(),
        "_rebuild_qtensor": torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8),
        "pathlib": Path("x"),
    }
    for message, content in cases.items():
        with pytest.raises(FileFormatError, match=message) as caught:
            minicnn.load(saved(torch, content, tmp_path / "w.pth", kind))
        assert "\n" not in str(caught.value)
    if kind == "zip":
        with pytest.raises(FileFormatError, match="dtype float8_e5m2"):
            minicnn.load(saved(torch, torch.zeros(2).to(torch.float8_e5m2), tmp_path / "w.pth"))
        with pytest.raises(FileFormatError, match="TorchScript"):
            minicnn.load(script)


def test_the_hand_written_files_are_what_torch_reads(tmp_path: Path) -> None:
    """Otherwise the hostile files would be refused for being wrong instead of for being hostile."""
    torch = peers.torch()
    zipped, legacy = tmp_path / "zip.pth", tmp_path / "legacy.pth"
    body = dictionary({"x": tensor(storage(), (2, 3), (3, 1))})
    write_zip(zipped, body, {"data/0": VALUES.tobytes()})
    body = dictionary({"x": tensor(legacy_storage(), (2, 3), (3, 1))})
    write_legacy(legacy, body, {"0": (6, VALUES.tobytes())})
    for path in (zipped, legacy):
        expected = torch.load(path, weights_only=False)
        assert expected["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert_equal(minicnn.load(path), expected, torch)


# ---- damaged files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_every_truncation_of_a_real_file_is_noticed(tmp_path: Path, kind: str) -> None:
    torch = peers.torch()
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    content = saved(torch, model.state_dict(), tmp_path / "w.pth", kind).read_bytes()
    cut = tmp_path / "cut.pth"
    for length in range(0, len(content), 11):
        cut.write_bytes(content[:length])
        with pytest.raises(FileFormatError):
            minicnn.load(cut)


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    body = dictionary({"x": tensor(storage("7"), (6,), (1,))})
    with pytest.raises(FileFormatError, match="'archive/data/7' of a tensor is missing"):
        minicnn.load(write_zip(tmp_path / "w.pth", body, {"data/0": VALUES.tobytes()}))


def test_an_unknown_byte_order_is_named(tmp_path: Path) -> None:
    body = dictionary({"x": tensor(storage(), (6,), (1,))})
    with pytest.raises(FileFormatError, match="unknown byte order 'middle'"):
        minicnn.load(write_zip(tmp_path / "w.pth", body, {"data/0": VALUES.tobytes(), "byteorder": b"middle"}))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"version": program(integer(1002))}, "version '1002'"),
        ({"magic": program(integer(7))}, "torch.save did not write"),
        ({"keys": program(b"]")}, "list of storages does not match"),
        ({"keys": program(integer(7))}, "list of storages does not match"),
        ({"keys": program(b"](" + text("0") + text("1") + b"e")}, "list of storages does not match"),
        ({"keys": program(name("os", "system"))}, "'os.system'"),
        ({"storages": {"0": (5, VALUES.tobytes())}}, "expected a storage of 6 elements"),
        ({"storages": {"0": (6, VALUES.tobytes()[:-1])}}, "truncated: .* a storage ends at byte"),
        ({"storages": {"0": (-1, VALUES.tobytes())}}, "expected a storage of 6 elements"),
    ],
)
def test_damaged_legacy_files(tmp_path: Path, parts: dict[str, Any], message: str) -> None:
    parts = {"storages": {"0": (6, VALUES.tobytes())}, **parts}
    body = dictionary({"x": tensor(storage(), (6,), (1,))})
    with pytest.raises(FileFormatError, match=message):
        minicnn.load(write_legacy(tmp_path / "w.pth", body, **parts))


@pytest.mark.parametrize("mmap", [True, False])
def test_unaligned_storages_are_aligned(tmp_path: Path, mmap: bool) -> None:
    """Legacy files and archives of other programs put storages anywhere; compiled code wants them aligned."""
    body = dictionary({"x": tensor(storage("0", 3, "DoubleStorage"), (3,), (1,))})
    for padding in range(8):
        path = write_zip(tmp_path / "w.pth", body, {"pad": bytes(padding), "data/0": struct.pack("<3d", 1, 2, 3)})
        loaded = minicnn.load(path, mmap=mmap)["x"]
        assert loaded.tolist() == [1, 2, 3]
        assert loaded.numpy().flags.aligned


def test_torch_is_not_imported_by_loading(tmp_path: Path) -> None:
    import subprocess

    path = write_zip(tmp_path / "w.pth", dictionary({"x": tensor(storage(), (6,), (1,))}), {"data/0": VALUES.tobytes()})
    script = f"import sys, minicnn; minicnn.load({str(path)!r}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
