"""Where machine code is kept for the next process, and that no kernel needs it to be.

What Numba keeps are pickles: whoever can put one there runs code as whoever reads it. So a folder is used only if it is
this user's own and nobody else may write into it, nor rename it away: the folder above belongs to the user or to root,
and others may not write there either, unless it is sticky, as ``/tmp`` is. That goes for ``NUMBA_CACHE_DIR`` too.

The first such folder that can be filled is taken: in ``NUMBA_CACHE_DIR``, the user's cache, the temporary folder.
Where there is none, where the disk is full or a file is damaged, code is compiled anew. That is so for every function
that Numba compiles in this process, a student's ``@njit(cache=True)`` among them, once this module is imported.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

from .target import target

SOURCES = Path(__file__).parent
PROBE = 1 << 16  # bytes; over quota, or on a full disk, an empty file can still be made
NOWHERE = os.path.join(os.devnull, "nothing is kept here")


@cache
def fingerprint() -> str:
    """Of everything that the machine code depends on."""
    text = hashlib.sha256(f"{numba.__version__} {target()}".encode())
    for path in sorted(SOURCES.glob("*.py")):
        text.update(path.read_bytes())
    return text.hexdigest()[:16]


@cache
def _chosen() -> tuple[Path, str] | None:
    for place, name in _places():
        try:
            place = place.absolute()
            _opened(place, name)
        except OSError as error:
            _refused.append(str(error))
        else:
            return place, name
    return None


_refused: list[str] = []  # why not in the places that come before


@cache
def cache_folder() -> Path | None:
    """Where the machine code of this package is kept, ``None`` for nowhere."""
    chosen = _chosen()
    return None if chosen is None else _opened(*chosen)


def described_cache() -> str:
    """For the line that says that kernels are compiled: where they are kept, and why in no place that comes before."""
    folder = cache_folder()
    where = "for this process alone" if folder is None else f"once: kept in {folder}"
    return f"{where}, because {'; '.join(_refused)}" if _refused else where


def _places() -> Iterator[tuple[Path, str]]:
    """A folder that may be there already, and the name of minicnn's own in it; in the order in which they are tried."""
    config: Any = numba.config
    chosen = os.environ.get("NUMBA_CACHE_DIR") or config.CACHE_DIR
    if chosen:
        yield Path(chosen), "."
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser(os.path.join("~", ".cache"))
    if os.path.isabs(home):  # without HOME, a user whom the system does not know has none
        yield Path(home), "minicnn"
    with suppress(OSError):  # there may be no temporary folder either
        yield Path(tempfile.gettempdir()), f"minicnn-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _opened(place: Path, name: str) -> Path:
    """The folder for the machine code in ``place``, made where it is not there.

    Raises:
        OSError: if it cannot be made or filled, or if others could put files there.
    """
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = place.resolve()
    if _others_write(place, above=True):
        raise OSError(f"others may write in {place}")
    folder = place / name / f"kernels-{fingerprint()}"
    for own in (folder.parent, folder):
        if own == place:
            continue
        own.mkdir(mode=0o700, exist_ok=True)
        if _others_write(own):
            raise OSError(f"{own} is a link, or others may write there")
    if not any(folder.glob("*.nbc")):
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBE))
    return folder


def _others_write(folder: Path, above: bool = False) -> bool:
    """Whether others may put files into a folder, or, where it lies ``above`` it, put another in place of one."""
    status = folder.lstat()
    if not hasattr(os, "geteuid"):
        return False
    mine = status.st_uid == os.geteuid() or (above and status.st_uid == 0)
    closed = not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or (above and status.st_mode & stat.S_ISVTX)
    return not (stat.S_ISDIR(status.st_mode) and mine and closed)


# ---- what Numba asks -------------------------------------------------------------------------------------------------


class _Locator(caching._CacheLocator):
    """Tells Numba where to keep what is compiled from this package."""

    def __init__(self, function: Any, source: str) -> None:
        self._line = function.__code__.co_firstlineno
        self._name = Path(source).stem
        self._py_file = source  # Numba asks for it in a warning

    @classmethod
    def from_function(cls, function: Any, source: str) -> Any:
        return cls(function, source) if Path(source).parent == SOURCES else None

    def get_cache_path(self) -> str:
        return str(cache_folder() or NOWHERE)

    def ensure_cache_path(self) -> None:
        """Look again: the folder may have been deleted since, and made by somebody else."""
        chosen = _chosen()
        if chosen is None:
            raise OSError("there is no folder to keep machine code in")
        _opened(*chosen)

    def get_source_stamp(self) -> str:
        return fingerprint()

    def get_disambiguator(self) -> str:
        return f"{self._name}-{self._line}"


class _LaidOver(caching._CacheLocator):
    """For what is left of a module that a student's file is laid over: kept where that file's own functions are.

    It calls the student's functions, so it has to be compiled anew when the student's file changes.
    """

    def __init__(self, function: Any, locator: Any) -> None:
        self._locator = locator
        self._py_file = function.__code__.co_filename
        self._line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, function: Any, source: str) -> Any:
        file = function.__globals__.get("__file__")
        if "__laid_over__" not in function.__globals__ or file == source:
            return None
        locators = (kind.from_function(function, file) for kind in _numbas_locators)
        found = next((locator for locator in locators if locator is not None), None)
        return _Nowhere(function, source) if found is None else cls(function, found)

    def get_cache_path(self) -> str:
        return self._locator.get_cache_path()

    def get_source_stamp(self) -> Any:
        return fingerprint(), self._locator.get_source_stamp()

    def get_disambiguator(self) -> str:
        return f"{Path(self._py_file).stem}-{self._line}"


class _Nowhere(_Locator):
    """For a function that Numba has found no folder for. Without it, ``cache=True`` would be an error there."""

    @classmethod
    def from_function(cls, function: Any, source: str) -> Any:
        return cls(function, source)

    def get_cache_path(self) -> str:
        return NOWHERE

    def ensure_cache_path(self) -> None:
        raise OSError("there is no folder to keep machine code in")


def _load(self: Any, signature: Any, context: Any) -> Any:
    """What has been kept, or ``None``: a file that cannot be read is as good as none, and a damaged one is replaced."""
    try:
        if isinstance(self._impl.locator, _Locator):
            self._impl.locator.ensure_cache_path()
        return _numbas_load(self, signature, context)
    except OSError:
        return None
    except Exception:  # whatever a damaged pickle ends in
        with suppress(OSError):
            self.flush()
        return None


def _save(self: Any, signature: Any, data: Any) -> None:
    """Keep it, where that can be done."""
    with suppress(OSError):
        _numbas_save(self, signature, data)


_cache: Any = caching.Cache
_numbas_load, _numbas_save = _cache.load_overload, _cache.save_overload
_cache.load_overload, _cache.save_overload = _load, _save
_numbas_locators: list[Any] = list(caching.CompileResultCacheImpl._locator_classes)
for _kind in (caching.CompileResultCacheImpl, caching.CodeLibraryCacheImpl):
    _kind._locator_classes[:] = [_LaidOver, _Locator, *_kind._locator_classes, _Nowhere]
