"""Where a stranger's code runs: a worker in a sandbox, with a library from which the homework is cut.

The worker can read that library, the packages that minicnn needs, and the student's files, and nothing else: no
reference, no result, nobody else's work.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from .. import execution
from ..checks import Check
from ..manifest import Homework
from ..workers import Workplace
from .sandbox import Room, Sandbox, lay_out

START = "import json, sys; sys.path[:0] = json.loads(sys.argv.pop(1)); from minicnn.course.worker import main; main()"
THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "MPLBACKEND": "Agg", **dict.fromkeys(THREADS, "1")}
DISTRIBUTION = "minicnn-lecture"  # as pyproject.toml calls it
UNSEEN = {"scikit-learn", "scipy"}  # another package may bring them, and scipy.stats.kendalltau is the answer to hw7.6
PROCESSES = 64  # and threads
CPU_SECONDS = 300  # of one process, where nobody ends it sooner


@dataclass(frozen=True)
class Cell(Workplace):
    """Workers for the submission in ``student``.

    Args:
        library: holds the cut ``minicnn`` and the homework's tests.
        packages: the folders for ``sys.path``, and what has to be readable for them.
        student: the student's files.
        compiles: whether Numba compiles, or Python runs what it would.
    """

    sandbox: Sandbox
    library: Path
    packages: tuple[Path, ...]
    student: Path
    compiles: bool = True

    def start(self, output: Path, traces: Path) -> tuple[Sequence[str], Mapping[str, str]]:
        """The command that starts a worker in the sandbox; its environment is the sandbox's to set."""
        room = Room(
            readable=(self.library, *self.packages, self.student),
            writable=output.parent,
            environment={**ENVIRONMENT, "NUMBA_DISABLE_JIT": str(int(not self.compiles))},
            memory=execution.MEMORY,
            processes=PROCESSES,
            file_size=2 * execution.OUTPUT,
            cpu_seconds=CPU_SECONDS,
        )
        paths = json.dumps([str(self.library), str(self.packages[0])])
        argv = [sys.executable, "-I", "-S", "-c", START, paths, str(output), str(traces)]
        return self.sandbox.command(argv, room), ENVIRONMENT

    def scratch(self) -> tempfile.TemporaryDirectory[str]:
        """A folder that another user may enter."""
        folder = super().scratch()
        Path(folder.name).chmod(0o755)
        return folder

    def processes(self, started: int) -> list[psutil.Process]:
        """The worker and all that it started."""
        return self.sandbox.processes(started)

    def end(self, started: subprocess.Popen[bytes]) -> None:
        """End it and all that it left."""
        self.sandbox.end_leftovers(started)

    def tests(self, check: Check) -> Path:
        """In the cut library."""
        return self.library / check.homework.tests

    @property
    def is_cut(self) -> bool:
        """It is."""
        return True


def lay_out_packages(folder: Path) -> tuple[Path, ...]:
    """Links in ``folder`` to what minicnn's checks need; returns ``folder`` and what it links to.

    Raises:
        ImportError: if minicnn is used without an installation, which alone says what it needs.
    """
    found: dict[str, Path] = {}
    for distribution in _needed(DISTRIBUTION, set(UNSEEN)):
        for file in distribution.files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not top.endswith((".dist-info", ".pth", ".egg-link")):
                found.setdefault(top, Path(str(distribution.locate_file(top))))
    if not found:
        raise ImportError(
            f"{DISTRIBUTION} is not installed, so its packages are not known: pip install -e . in its folder"
        )
    folder.mkdir()
    return lay_out(folder, [path for path in found.values() if path.exists()])


def _needed(name: str, seen: set[str]) -> Iterator[importlib.metadata.Distribution]:
    """The distributions that one needs, directly and through others, without those of its extras."""
    try:
        requires = importlib.metadata.distribution(name).requires or []
    except importlib.metadata.PackageNotFoundError:
        return
    for line in requires:
        needed = re.split(r"[^\w.-]", line, maxsplit=1)[0].lower()
        if "extra ==" in line or needed in seen:
            continue
        seen.add(needed)
        try:
            yield importlib.metadata.distribution(needed)
        except importlib.metadata.PackageNotFoundError:  # for another system
            continue
        yield from _needed(needed, seen)


def library_for(owner: Homework, root: Path, folder: Path) -> Path:
    """Write the cut library and the tests of a homework into ``folder``, without a recorded answer."""
    from ..edition import FILE
    from ..manifest import all_homework
    from ..release.cutting import library

    everything = list(all_homework())
    files = dict(library(everything[everything.index(owner) :]))
    files[f"minicnn/course/{FILE}"] = json.dumps({"homework": owner.id}).encode()
    files[owner.tests] = (root / owner.tests).read_bytes()
    if not any(module.startswith("minicnn.backend.cpu.") for module in owner.modules.values()):
        # NumPy is done with a case before Numba has compiled for it, which no worker could keep.
        files = {name: content for name, content in files.items() if not name.startswith("minicnn/backend/cpu/")}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
