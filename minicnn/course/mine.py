"""The library with a student's modules in place of its own: ``minicnn train resnet20 --mine hw2,hw4``.

``install`` tells Python's import system to lay these files over these modules (``overlay``); what was imported before
is forgotten and imported anew.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from .holes import is_untouched
from .loading import compile_anywhere, module_name
from .manifest import Hole, Homework, reference_source
from .overlay import HoleMissing, lay_over
from .witness import Witness


@dataclass(frozen=True)
class Mine:
    """A student's file that stands for a module of minicnn, and the holes that it fills."""

    path: Path
    holes: tuple[Hole, ...] = ()


class Substitutes(MetaPathFinder):
    """Finds some modules in other files: ``files`` maps full names to a student's."""

    def __init__(self, files: Mapping[str, Mine], witness: Witness | None = None) -> None:
        self.files, self.witness = files, witness
        self.folders = [str(folder) for folder in dict.fromkeys(mine.path.parent for mine in files.values())]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module that is to be replaced, None for all others."""
        if fullname not in self.files:
            return None
        file = self.files[fullname]
        loader = _Loader(file, self.witness)
        return importlib.util.spec_from_file_location(fullname, file.path, loader=loader)


class _Loader(Loader):
    """Runs a student's file over the reference, and has what it defines watched before it is used."""

    def __init__(self, file: Mine, witness: Witness | None) -> None:
        self.file, self.witness = file, witness

    def exec_module(self, module: ModuleType) -> None:
        lay_over(module, self.file.path, module.__name__, self.file.holes)
        if self.witness is not None:
            for hole in self.file.holes:
                self.witness.watch(module, hole)


def substitutes(root: Path, homework: Sequence[Homework]) -> tuple[dict[str, Mine], list[str]]:
    """The student's finished files of some homework, by the name of the module that each stands for.

    Returns:
        the files, and for each that is not finished a sentence that says so: minicnn's own module is used.

    Raises:
        FileNotFoundError: for a file that is not there.
        ValueError: if none is finished, for a file of zero bytes or UTF-16, and for two files of the student's own
            (beside the stubs) with one name: only one of them could be imported.
    """
    files, unfinished = {}, []
    for owner in homework:
        for stem, module in owner.modules.items():
            path = root / "assignments" / owner.folder / f"{stem}.py"
            if not path.is_file():
                raise FileNotFoundError(
                    f"{owner.id}: there is no {path} (`minicnn course build {owner.id}` writes a missing stub)"
                )
            source = path.read_bytes()
            if b"\0" in source:  # Python's own error does not say in which file
                raise ValueError(f"{path} is not text that Python can read (UTF-16?): save it as UTF-8")
            holes = tuple(owner.holes(stem))
            missing = [hole for hole in holes if is_untouched(source, hole)]
            if missing:
                unfinished.append(f"{owner.folder}/{path.name}: {missing[0].task} {missing[0].qualname} is not written")
            else:
                files[module] = Mine(path, holes)
    if not files:
        raise ValueError(f"nothing to use yet: {'; '.join(unfinished)}")
    own = [path.name for owner in homework for path in helpers(root / "assignments" / owner.folder, owner)]
    if twice := [name for name, count in Counter(own).items() if count > 1]:
        raise ValueError(f"{twice[0]} is in {own.count(twice[0])} of the homework's folders: give them different names")
    return files, unfinished


def helpers(folder: Path, owner: Homework) -> list[Path]:
    """The Python files of a student's own beside the stubs, which the stubs may import."""
    return sorted(path for path in folder.glob("*.py") if path.stem not in owner.modules)


def install(files: Mapping[str, Mine], witness: Witness | None = None) -> Substitutes:
    """Import minicnn's modules from ``files`` from now on, and let these import what lies beside them.

    Returns:
        the finder, for ``uninstall``.
    """
    finder = Substitutes(files, witness)
    sys.meta_path.insert(0, finder)
    sys.path.extend(finder.folders)  # last: a helper of the name of a known module hides nothing
    _forget()
    return finder


def import_all(files: Mapping[str, Mine]) -> None:
    """Import the student's modules now, and let Numba's cache find them by the name that they have when graded."""
    for name, file in files.items():
        compile_anywhere(file.path.read_text(encoding="utf-8", errors="replace") + reference_source(name))
        sys.modules[module_name(file.path)] = importlib.import_module(name)


def uninstall(finder: Substitutes) -> None:
    """Back to minicnn's own modules."""
    sys.meta_path.remove(finder)
    for folder in finder.folders:
        sys.path.remove(folder)
    for name, module in list(sys.modules.items()):  # helpers: another homework may have some of the same name
        if str(Path(getattr(module, "__file__", None) or "").parent) in finder.folders:
            del sys.modules[name]
    _forget()


def explain_import(error: ImportError, files: Mapping[str, Mine]) -> str | None:
    """What to write instead, where a student's file imports from a package that is itself waiting for that file.

    Call it after ``uninstall``. None for every other error, but for a ``HoleMissing``, which says it all.
    """
    if isinstance(error, HoleMissing):
        return str(error)
    paths = {file.path for file in files.values()}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) in paths]
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
