"""A student's edition, put together: the cut library, one homework, its tests, the recorded answers."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

from ...serialization.atomic import replacing
from .. import edition as about
from ..build import RECORD, build
from ..manifest import Homework, all_homework, check_variant, homework
from ..manifest import variant as course_variant
from ..recorded import write
from .cutting import library
from .leaks import Leak, find_leaks
from .recording import record

PAGES = ("autograd", "convolution", "deformable", "differences", "evening", "lecture-figures", "lecture-map")
TEMPLATES = Path(__file__).parent / "templates"
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file in a zip, so that the same edition has the same bytes


class AnswersLeak(ValueError):
    """Answers would be handed out; carries the ``leaks``."""

    def __init__(self, leaks: Sequence[Leak]) -> None:
        self.leaks = tuple(leaks)
        super().__init__("answers would be handed out: " + "; ".join(map(str, leaks)))


@dataclass(frozen=True)
class Edition:
    """The files of an edition by their paths, and the pages that were left out because they print answers."""

    homework: Homework
    variant: str
    files: Mapping[str, bytes]
    left_out: tuple[str, ...]

    @property
    def folder(self) -> str:
        """What the top folder of a zip is called."""
        return f"minicnn-{self.homework.id}" + (f"-{self.variant}" if self.variant else "")

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.files.values()))


def make(root: Path, name: str, define: Callable[[Homework], None], variant: str = "") -> Edition:
    """The edition of the homework ``name`` for the term ``variant``.

    Args:
        root: of the course.
        define: defines the checks of a homework.

    Raises:
        AnswersLeak: if an answer of this homework or a later one is in it.
    """
    check_variant(variant)
    with course_variant(variant):
        return _make(root, name, define, variant)


def _make(root: Path, name: str, define: Callable[[Homework], None], variant: str) -> Edition:
    everything = list(all_homework())
    owner = homework(name)
    first = everything.index(owner)
    files = dict(library(everything[first:]))
    stamp = about.Edition(owner.id, variant)
    files["minicnn/course/edition.json"] = _json(asdict(stamp))
    files["minicnn/__init__.py"] = _versioned(files["minicnn/__init__.py"], stamp)
    for each in everything[: first + 1]:
        define(each)
    files.update(_recorded(everything[: first + 1]))
    files.update(_course(root, owner))
    files["pyproject.toml"], files["README.md"] = _head(root, owner, stamp)
    pages = {f"docs/{page}.md": (root / "docs" / f"{page}.md").read_bytes() for page in PAGES}
    leaking = {leak.path for leak in find_leaks(pages, everything[first:])}
    files.update({path: page for path, page in pages.items() if path not in leaking})
    if leaks := find_leaks(files, everything[first:]):
        raise AnswersLeak(leaks)
    return Edition(owner, variant, files, tuple(sorted(leaking)))


def _recorded(known: Sequence[Homework]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [write(each.id, record(each), Path(folder)) for each in known]
        return {f"minicnn/course/recorded/{path.name}": path.read_bytes() for path in paths}


def _course(root: Path, owner: Homework) -> dict[str, bytes]:
    """The handout, the stubs and the tests of one homework."""
    with tempfile.TemporaryDirectory() as folder:
        handout = Path(folder) / owner.handout
        handout.parent.mkdir(parents=True)
        shutil.copy(root / owner.handout, handout)
        build(Path(folder), [owner])
        made = [path for path in sorted((Path(folder) / "assignments").rglob("*")) if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in made}
    assert f"assignments/{RECORD}" in files
    return {**files, owner.tests: (root / owner.tests).read_bytes(), "LICENSE": (root / "LICENSE").read_bytes()}


def _head(root: Path, owner: Homework, stamp: about.Edition) -> tuple[bytes, bytes]:
    """``pyproject.toml`` and ``README.md``."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    values = {
        "id": owner.id, "title": owner.title, "folder": owner.folder, "tests": owner.tests, "handout": owner.handout,
        "first": owner.tasks[0].id, "number": owner.id.removeprefix("hw"), "python": project["requires-python"],
        "variant": f" ({stamp.variant})" if stamp.variant else "",
        "distribution": project["name"], "license": project["license"], "files": json.dumps(project["license-files"]),
        "dependencies": json.dumps(project["dependencies"]),
        "student": json.dumps(project["optional-dependencies"]["student"]),
    }  # fmt: skip
    texts = [(TEMPLATES / name).read_text(encoding="utf-8") for name in ("pyproject.toml.txt", "README.md.txt")]
    made, readme = (Template(text).substitute(values).encode() for text in texts)
    return made, readme


def _versioned(source: bytes, stamp: about.Edition) -> bytes:
    """``minicnn/__init__.py`` with the homework in its version: ``0.1.0+hw4.autumn``."""
    local = ".".join(filter(None, (stamp.homework, stamp.variant.replace("-", "."))))
    return re.sub(rb'(?m)^(__version__ = "[^"+]*)', rb"\1+" + local.encode(), source, count=1)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def check_free(out: Path) -> None:
    """Raises FileExistsError if ``out`` is there already, and no empty folder."""
    if out.exists() and (not out.is_dir() or out.suffix == ".zip" or any(out.iterdir())):
        raise FileExistsError(f"{out} is there already: choose another name, or remove it")


def save(edition: Edition, out: Path) -> None:
    """Write the edition: a zip if ``out`` ends so, else a folder. Whole or not at all.

    Raises:
        FileExistsError: if ``out`` is there already, and no empty folder.
    """
    check_free(out)
    if out.is_dir():
        out.rmdir()
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".zip":
        with replacing(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in sorted(edition.files.items()):
                archive.writestr(zipfile.ZipInfo(f"{edition.folder}/{path}", EPOCH), content, zipfile.ZIP_DEFLATED)
        return
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as made:
        for path, content in edition.files.items():
            target = Path(made) / out.name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        (Path(made) / out.name).rename(out)
