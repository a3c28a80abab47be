"""Modules under test: a student's file, the reference, or a reference with a planted mistake."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from .manifest import Homework, reference_source
from .overlay import HoleMissing, lay_over


@dataclass(frozen=True)
class Unloadable:
    """In place of a module that cannot be imported: where, and why."""

    message: str


Modules = Mapping[str, ModuleType | Unloadable]  # by stub file


def reference_modules(homework: Homework) -> dict[str, ModuleType]:
    """The reference: minicnn's own modules."""
    compile_anywhere(" ".join(homework.modules.values()))
    return {stem: importlib.import_module(name) for stem, name in homework.modules.items()}


def student_modules(homework: Homework, impl: Path) -> dict[str, ModuleType | Unloadable]:
    """The modules of one homework in ``impl/hwN_topic/``. A file that fails to import is an ``Unloadable``."""
    let_import_helpers(impl / homework.folder)
    return {stem: load(homework, stem, impl / homework.folder / f"{stem}.py") for stem in homework.modules}


def let_import_helpers(folder: Path) -> None:
    """Let a student's files import others of their own from beside them."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def module_name(path: Path) -> str:
    """Under which a student's file is imported: ``hw6_deformable_sampling``.

    It is the same in every run: Numba's cache, which lies beside the file, asks for its module by name.
    """
    return f"{path.parent.name}_{path.stem}"


def load(homework: Homework, stem: str, path: Path) -> ModuleType | Unloadable:
    """Import one file of a homework, laid over the reference; each time anew."""
    if not path.is_file():
        return Unloadable(f"{path}: there is no such file")
    reference = homework.modules[stem]
    name = module_name(path)
    compile_anywhere(path.read_text(encoding="utf-8", errors="replace") + reference_source(reference))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        lay_over(module, path, reference, homework.holes(stem))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a file that leaves has not been imported
        sys.modules.pop(name, None)
        return Unloadable(import_error(path, error))
    return module


def compile_anywhere(source: str) -> None:
    """Let ``@njit(cache=True)`` work where nothing can be kept; to be called before ``source`` is imported.

    Others need not wait for Numba.
    """
    if "numba" in source or "minicnn.backend.cpu" in source:
        with suppress(ModuleNotFoundError):  # in a student's edition, while the backend's primitives are homework
            importlib.import_module("minicnn.backend.cpu.keeping")


def import_error(path: Path, error: BaseException) -> str:
    """``file:line: SyntaxError: what`` for an error while ``path`` was imported."""
    line = None
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno
    else:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = lines[-1] if lines else None
    where = f"{path}:{line}" if line else str(path)
    if isinstance(error, HoleMissing):
        return str(error)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{where}: {type(error).__name__}: {text}".rstrip(": ")
