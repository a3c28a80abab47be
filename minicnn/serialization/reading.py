"""``load``: the format of a file is recognised by its content, not by its name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..devices import CPU, as_device
from ..errors import FileFormatError
from ..paths import printable
from ..tensors import Tensor
from . import npz_file, safetensors_file, torch_file
from .pickle_machine import Foreign
from .source import Archive, Source, shown

ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")  # the second begins an archive without records
PICKLE_MAGICS = (
    b"\x80",
    b"L119547037146038801333356L\n",
)  # the second is PyTorch's number in protocols 0 and 1
# Other files that are often mistaken for weights: offset, bytes in lower case, what it is.
FOREIGN = (
    (0, b"<", "a web page or XML text: the download went wrong"),
    (0, b"version https://git-lfs", "a Git LFS pointer: the weights themselves were not downloaded"),
    (0, b"\x89hdf", "an HDF5 file, as Keras writes them"),
    (0, b"\x93numpy", "a single NumPy array: numpy.savez keeps the keys"),
    (0, b"\x1f\x8b", "compressed by gzip: unpack it first"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
    (0, b"gguf", "a GGUF file of a language model"),
    (
        257,
        b"ustar",
        "a tar archive: unpack it first (or PyTorch's oldest format: load and save it again there)",
    ),
)
LONGEST_MAGIC = 512
EXPECTED = "expected weights as .pth, .safetensors or .npz"

# Where training scripts keep the weights among other things, and what wrappers put before every key.
STATE_KEYS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights"),
    *("model_ema", "state_dict_ema", "ema_state_dict", "ema"),  # averages over training come last
)
AVERAGED_COUNT = "n_averaged"  # how many models torch.optim.swa_utils.AveragedModel is the mean of
WRAPPER_PREFIXES = ("module.", "_orig_mod.")  # DataParallel, torch.compile


def load(
    path: str | os.PathLike[str], map_location: Any = None, *, weights_only: bool = True, mmap: bool = True
) -> Any:
    """Read tensors from a file: PyTorch's ``.pth``/``.pt`` (without PyTorch), ``.safetensors`` or ``.npz``.

    Nothing in the file is run. float16 and bfloat16 become float32, all other dtypes are kept; tensors that shared
    memory when PyTorch saved them share it again, and none requires a gradient.

    Args:
        path: the file; ``~`` is the home folder. Its content decides the format.
        map_location: the device to put the tensors on, the CPU if None.
        weights_only: True as in PyTorch; False is not possible here.
        mmap: use the file's pages as memory of the tensors (copy-on-write: the file never changes) instead of reading
            all of it. Pass False if the file may be shortened or written in place while the tensors are in use.

    Returns:
        ``{key: Tensor}`` for ``.safetensors``, ``.npz`` and a saved ``state_dict()``. For any other ``.pth``
        the object that ``torch.save`` saved: dictionaries, lists, tuples, numbers, text and NumPy arrays with
        tensors in them, as ``torch.load`` returns them; ``load_state_dict`` finds the weights in it. Dtypes
        and devices in it become text.

    Raises:
        FileFormatError: with one line that names the file, for a file that is truncated, damaged, in another
            format, refused because it asks to run code, or of unsupported dtype.
        OSError: if the file does not exist or cannot be read.
        ValueError: for ``weights_only=False`` and an unknown device.
    """
    if not weights_only:
        raise ValueError("weights_only=False would run code from the file, which minicnn never does")

    return _read(path, map_location, mmap)


def _read(path: str | os.PathLike[str], map_location: Any, mmap: bool, foreign: bool = False) -> Any:
    """``load``; with ``foreign`` objects of other classes are ``Foreign`` dummies instead of an error."""
    place = CPU if map_location is None else as_device(map_location)

    def wrap(array: np.ndarray) -> Tensor:
        return Tensor(array, device=place)

    with _opened(path, mmap) as source:
        head = source.head(LONGEST_MAGIC)
        if head.startswith(ZIP_MAGICS):
            archive = Archive(source)
            root = torch_file.find_root(archive)
            if root is not None:
                return torch_file.read_zip(archive, root, wrap, foreign)
            if npz_file.is_npz(archive):
                return npz_file.read_npz(archive, wrap)
            raise FileFormatError(f"{EXPECTED}, but this is a zip archive of other things")
        if safetensors_file.is_safetensors(source):
            return safetensors_file.read_safetensors(source, wrap)
        if head.startswith(PICKLE_MAGICS):
            return torch_file.read_legacy(source, wrap, foreign)
        raise FileFormatError(f"{EXPECTED}, but this {_describe(head)}")


def load_state_dict(path: str | os.PathLike[str], map_location: Any = None, *, mmap: bool = True) -> dict[str, Tensor]:
    """The weights in a file, ready for ``Module.load_state_dict``: ``load``, and then unpacked.

    From a training checkpoint it takes the first of the entries ``state_dict``, ``model_state_dict``, ``model``, ...
    that holds tensors only. Other objects in the file (options as an ``argparse.Namespace``, paths, enumerations) are
    ignored; they are neither imported nor run. The prefix that DataParallel (``module.``) or ``torch.compile``
    (``_orig_mod.``) puts before every key is removed.

    Raises:
        FileFormatError: as ``load``, and if none of these entries is a dictionary of tensors.
    """
    content = _read(path, map_location, mmap, foreign=True)
    whole = _entries(content)
    for candidate in (whole, *(_entries(whole[key]) for key in STATE_KEYS if key in whole)):
        if candidate and all(map(_is_entry, candidate.items())):
            return _without_wrappers(dict(candidate))
    with _naming(path):
        raise FileFormatError(f"expected tensors by name, but the file holds {_outline(content)}")


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text that ``save(..., metadata=...)`` stored with the tensors; empty if there is none.

    Raises:
        FileFormatError: for a damaged file. Other formats than ``.safetensors`` and ``.npz`` have no
            metadata.
        OSError: if the file does not exist or cannot be read.
    """
    with _opened(path, mmap=True) as source:
        if safetensors_file.is_safetensors(source):
            return safetensors_file.read_safetensors_metadata(source)
        if source.head(4).startswith(ZIP_MAGICS):
            return npz_file.read_npz_metadata(Archive(source))
        return {}


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the file's name before the message of a FileFormatError."""
    try:
        yield
    except FileFormatError as error:
        raise FileFormatError(f"{printable(os.fsdecode(path))}: {error}") from error
    except MemoryError as error:
        raise FileFormatError(f"{printable(os.fsdecode(path))}: needs more memory than there is") from error


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], mmap: bool) -> Iterator[Source]:
    with _naming(path), Source(path, map_file=mmap) as source:
        yield source


def _describe(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for offset, magic, what in FOREIGN:
        if (head.lower() if offset else text)[offset:].startswith(magic):
            return f"is {what}"
    return f"begins with {head[:16]!r}"


def _entries(value: Any) -> Mapping[Any, Any]:
    """``value`` if it is a dictionary, also one of a foreign class; else nothing."""
    if isinstance(value, Foreign):
        return value.entries
    return value if isinstance(value, Mapping) else {}


def _is_entry(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _without_wrappers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    state.pop(AVERAGED_COUNT, None)
    for prefix in WRAPPER_PREFIXES * 2:  # either wrapper may be the outer one
        if all(key.startswith(prefix) and key != prefix for key in state):
            state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def _kind(value: Any) -> str:
    if isinstance(value, Foreign):
        return f"a pickled {shown(value.name)}: in PyTorch, torch.save(model.state_dict(), path) writes weights"
    return f"a {type(value).__name__}"


def _outline(content: Any, limit: int = 8) -> str:
    """A short description of the content: its type, and for a dictionary its first entries."""
    if not isinstance(content, Mapping):
        return _kind(content)
    entries = [f"{shown(key, 40)}: {type(value).__name__}" for key, value in content.items()]
    if len(entries) > limit:
        entries[limit:] = ["..."]
    return f"a dictionary of {len(content)} entries: {', '.join(entries)}"
