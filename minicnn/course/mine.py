"""The library with a student's modules in place of its own: ``minicnn train resnet20 --mine hw2,hw4``.

A stub is a whole copy of a reference module, so a filled one can stand where the original does. ``install`` tells
Python's import system to take these files for these modules; what was imported before is forgotten and imported anew.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from .holes import is_untouched
from .loading import compile_anywhere, module_name
from .manifest import Homework


class Substitutes(MetaPathFinder):
    """Finds some modules in other files: ``files`` maps full names to paths."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module that is to be replaced, None for all others."""
        if fullname not in self.files:
            return None
        return importlib.util.spec_from_file_location(fullname, self.files[fullname])


def substitutes(root: Path, homework: Sequence[Homework]) -> tuple[dict[str, Path], list[str]]:
    """The student's finished files of some homework, by the name of the module that each stands for.

    Returns:
        the files, and for each that is not finished a sentence that says so: minicnn's own module is used.

    Raises:
        FileNotFoundError: for a file that is not there.
        ValueError: if none is finished.
    """
    files, unfinished = {}, []
    for owner in homework:
        for stem, module in owner.modules.items():
            path = root / "assignments" / owner.folder / f"{stem}.py"
            if not path.is_file():
                raise FileNotFoundError(f"{owner.id}: there is no {path}")
            source = path.read_text(encoding="utf-8")
            missing = [hole for hole in owner.holes(stem) if is_untouched(source, hole)]
            if missing:
                unfinished.append(f"{owner.folder}/{path.name}: {missing[0].task} {missing[0].qualname} is not written")
            else:
                files[module] = path
    if not files:
        raise ValueError(f"nothing to use yet: {'; '.join(unfinished)}")
    return files, unfinished


def install(files: Mapping[str, Path]) -> Substitutes:
    """Import minicnn's modules from ``files`` from now on. Returns the finder, for ``uninstall``."""
    finder = Substitutes(files)
    sys.meta_path.insert(0, finder)
    _forget()
    return finder


def import_all(files: Mapping[str, Path]) -> None:
    """Import the student's modules now, and let Numba's cache find them by the name that they have when graded."""
    for name, path in files.items():
        compile_anywhere(path.read_text(encoding="utf-8", errors="replace"))
        sys.modules[module_name(path)] = importlib.import_module(name)


def uninstall(finder: Substitutes) -> None:
    """Back to minicnn's own modules."""
    sys.meta_path.remove(finder)
    _forget()


def explain_import(error: ImportError, files: Mapping[str, Path]) -> str | None:
    """What to write instead, where a student's file imports from a package that is itself waiting for that file.

    Call it after ``uninstall``. None for every other error.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) in files.values()]
    wanted = re.match(r"cannot import name '(\w+)' from partially initialized module '(minicnn[\w.]*)'", str(error))
    if not frames or not wanted:
        return None
    name, package = wanted.groups()
    found = getattr(importlib.import_module(package), name, None)
    home = getattr(found, "__module__", None) or f"the module that defines {name!r}"
    path = Path(frames[-1].filename)
    return (
        f"{path.parent.name}/{path.name}, line {frames[-1].lineno}: {name!r} cannot be imported from {package} here, "
        f"because {package} is imported while it imports this file; import it from {home}, or inside your function"
    )


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "minicnn"]:
        del sys.modules[name]
