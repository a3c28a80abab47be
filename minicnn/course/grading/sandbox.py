"""What a worker that runs a stranger's code may see and do, in the strongest way that this machine has.

| | files | network, signals, shared memory | what is left behind |
|---|---|---|---|
| ``bubblewrap`` | nothing but the room is there | namespaces | ends with its namespace |
| ``namespaces`` | Landlock | namespaces | ends with its namespace |
| ``landlock`` | Landlock | a filter of system calls, Landlock's scopes | cannot leave its group of processes |
| ``none`` | all | all | may stay |

Elsewhere than on Linux there is only ``none``, and no limits. All others set limits, and all but ``none`` have the
filter (``confined``). As root, each worker becomes a user that nobody is. What a mode is worth is found out by a canary
(``canary``): a worker that tries what it must not.

Under Landlock, that a file exists, and its size, can still be learned by who knows its path; and a worker creates no
files, as nothing would bound their number: it writes those that lie in its folder.

A worker is started with ``subprocess.Popen(sandbox.command(...))`` from a thread that lives as long as the worker, and
ended by ``Sandbox.end_leftovers``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from . import landlock

HERE = Path(__file__).resolve().parent
LAUNCHER = (HERE / "confined.py", HERE / "landlock.py")
LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64")
MACHINE = ("/etc/ld.so.cache", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu")
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
PACKAGES = "*-packages"  # site-packages and, on Debian, dist-packages: what of them is readable has to be named
SCRATCH_FILES = 4  # how many files of the largest size bubblewrap has space for in the folder
SHARED_USER_TASKS = 256  # how many threads a worker's user may start elsewhere, where it is the grader's
USERS = 16384  # how many users are taken in turn, the last that there are
END_SECONDS, LEFT_SECONDS = 5.0, 0.3  # for a launcher, and for what is not its own: both end within milliseconds


@dataclass(frozen=True)
class Room:
    """What a worker may see and use.

    Args:
        readable: files and folders, seen under their own paths. What the interpreter needs is there without that, but
            no installed package. What is imported has to lie in a folder that is readable itself (``lay_out``).
        writable: a folder, seen as the current one and as ``TMPDIR``. Of what is written only what went into files that
            lie there at the start comes back.
        environment: all of it, but for ``TMPDIR``.
        memory: bytes of address space of a process.
        processes: how many processes and threads there may be at once.
        file_size: bytes of a file.
        cpu_seconds: of a process.
    """

    readable: tuple[Path, ...]
    writable: Path | None
    environment: Mapping[str, str]
    memory: int
    processes: int
    file_size: int
    cpu_seconds: int


class NoSandbox(Exception):
    """No way to confine a worker holds here; says what was tried and how each failed."""


@dataclass(frozen=True)
class Sandbox:
    """One way to confine a worker: what ``confined`` gives up."""

    name: str
    launchers: int = 1  # processes between the one that is started and the worker
    has_namespaces: bool = False
    interface: int = 0  # of Landlock, at most; 0 for none
    has_filter: bool = True
    changes_user: bool = True  # as root
    has_keeper: bool = True

    def command(self, argv: Sequence[str], room: Room) -> list[str]:
        """What to start instead of ``argv``, with the files that the worker writes lying in ``room.writable``.

        This interpreter is replaced by the one that its virtual environment was made from.
        """
        if sys.platform != "linux":
            return list(argv)
        argv = [str(_interpreter()) if argv[0] == sys.executable else argv[0], *argv[1:]]
        return [*self._around(room), str(_interpreter()), "-I", "-S", str(LAUNCHER[0]), self._settings(room), *argv]

    def processes(self, pid: int) -> list[psutil.Process]:
        """The worker and all that it started, without the launchers before it; empty once it is over.

        What the worker's processes left behind is the last launcher's child, and counts, too.

        Args:
            pid: of the process that was started.
        """
        with contextlib.suppress(psutil.Error, IndexError):
            process = psutil.Process(pid)
            if sys.platform != "linux":
                return [process, *process.children(recursive=True)]
            for _ in range(self.launchers - 1):
                process = process.children()[0]
            worker = process.children()[0]
            return [worker, *(each for each in process.children(recursive=True) if each != worker)]
        return []

    def end_leftovers(self, process: subprocess.Popen[bytes]) -> int:
        """End a worker and whatever it started; returns its exit status, as ``Popen`` does.

        Args:
            process: started with the ``command``. To kill it would leave nobody to end what it keeps.
        """
        below: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            below = psutil.Process(process.pid).children(recursive=True)
        self._end(process, below)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        deadline = time.monotonic() + LEFT_SECONDS
        while (alive := [*filter(_is_alive, below)]) and time.monotonic() < deadline:
            time.sleep(0.002)
        for left in alive:
            with contextlib.suppress(psutil.Error):
                left.kill()
        process.kill()
        return process.wait()

    def _end(self, process: subprocess.Popen[bytes], below: Sequence[psutil.Process]) -> None:
        process.terminate()

    def _around(self, room: Room) -> list[str]:
        return []

    def _settings(self, room: Room) -> str:
        root = os.geteuid() == 0
        folder = room.writable and str(room.writable.absolute())
        has_scopes = self.has_namespaces or min(self.interface, landlock.version()) >= min(landlock.SCOPES)
        shares_user = self.interface > 0 and not (root or self.has_namespaces)
        settings = {
            "uid": _user() if root and self.changes_user else None,
            "namespaces": self.has_namespaces,
            "keeper": self.has_keeper,
            "landlock": self.interface,
            "rules": list(_rules(room)) if self.interface else [],
            "filter": self.has_filter,
            "refuses_signals": self.interface > 0 and not has_scopes,
            "readable": [str(_interpreter()), *map(str, room.readable)],
            "writable": folder,
            "environment": {**room.environment, **({"TMPDIR": folder} if folder else {})},
            "shares_user": shares_user,
            "processes": room.processes + SHARED_USER_TASKS * shares_user,
            "memory": room.memory,
            "file_size": room.file_size,
            "cpu_seconds": room.cpu_seconds,
        }
        return json.dumps(settings)


@dataclass(frozen=True)
class Bubblewrap(Sandbox):
    """Nothing is there but what the room names: https://github.com/containers/bubblewrap.

    The exit status of a worker that a signal ended is 128 and the signal's number.
    """

    name: str = "bubblewrap"
    launchers: int = 2
    has_keeper: bool = False

    def _end(self, process: subprocess.Popen[bytes], below: Sequence[psutil.Process]) -> None:
        with contextlib.suppress(psutil.Error):
            (below[0] if below else process).kill()  # the first one ends all that is in its namespace

    def _around(self, room: Room) -> list[str]:
        options = ["--die-with-parent", "--new-session", "--unshare-ipc", "--unshare-pid", "--unshare-net"]
        options += ["--unshare-uts", "--unshare-cgroup-try"]
        if os.geteuid() == 0:  # the launcher becomes another user
            options += ["--cap-drop", "ALL"]
            for capability in ("SETUID", "SETGID", "CHOWN", "DAC_READ_SEARCH"):
                options += ["--cap-add", f"CAP_{capability}"]
        else:
            options += ["--unshare-user"]
        hidden: list[str] = []
        for view in _views():
            if view.is_symlink() and view.is_dir():
                options += ["--symlink", os.readlink(view), str(view)]
                continue
            options += ["--ro-bind", str(view), str(view)]
            hidden += map(str, _packages(view))
        for path in hidden:
            options += ["--tmpfs", path]
        for path in DEVICES:
            options += ["--dev-bind", path, path]
        options += ["--size", str(room.file_size), "--perms", "1777", "--tmpfs", "/dev/shm"]  # Numba's semaphores
        for path in map(str, (*LAUNCHER, *(path.absolute() for path in room.readable))):
            options += ["--ro-bind", path, path]
        if room.writable:
            folder = room.writable.absolute()
            options += ["--size", str(SCRATCH_FILES * room.file_size), "--tmpfs", str(folder)]
            for path in map(str, _files(folder)):
                options += ["--bind", path, path]
        for path in (*hidden, "/"):
            options += ["--remount-ro", path]
        # The environment is bubblewrap's, too, and SIGUSR1 asks the worker something.
        return ["env", "-i", "--ignore-signal=USR1", f"PATH={os.defpath}", "bwrap", *options, "--"]


def find_sandbox(trust: bool = False) -> Sandbox:
    """The strongest sandbox whose canary holds here; with ``trust``, mere limits where there is none.

    Raises:
        NoSandbox: if there is none.
    """
    tried = []
    for sandbox in SANDBOXES:
        if not (failures := _probed(sandbox)):
            return sandbox
        tried.append(f"{sandbox.name}: {'; '.join(failures)}")
    if trust:
        return NONE
    raise NoSandbox("nothing here confines a stranger's code.\n" + "\n".join(tried))


def probe(sandbox: Sandbox) -> list[str]:
    """What the canary could do that it must not, or why it did not run; empty if the sandbox holds."""
    if sys.platform != "linux":
        return ["it needs Linux"]
    from . import canary  # which opens sockets and starts processes that stand for the grader's

    try:
        with canary.Bait() as bait:
            room = Room((HERE / "canary.py",), bait.scratch, {}, 1 << 29, 16, 1 << 18, 10)
            failures = bait.caught_by(lambda argv: sandbox.command(argv, room), sandbox.end_leftovers, room.file_size)
    except (OSError, ValueError) as error:
        return [f"it does not work here ({error})"]
    return failures


_probed = cache(probe)


def lay_out(folder: Path, packages: Sequence[Path]) -> tuple[Path, ...]:
    """Fill a folder with links to packages, for a worker's ``sys.path``; returns what has to be readable for it.

    An import lists its folders, and what is listed but cannot be read is not taken for missing: so the folders of
    installed packages are no use in a room.
    """
    packages = [package.resolve() for package in packages]
    for package in packages:
        (folder / package.name).symlink_to(package)
    return (folder, *packages)


# ---- the interpreter and what it needs -------------------------------------------------------------------------------


@cache
def _interpreter() -> Path:
    return Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()


@cache
def _views() -> tuple[Path, ...]:
    """What the interpreter needs of this machine; its packages are to be hidden."""
    found: list[Path] = []
    for path in (*map(Path, (*LIBRARIES, *MACHINE)), Path(sys.base_prefix) / "lib", _interpreter()):
        if path.exists() and not any(path.is_relative_to(other) for other in found):
            found.append(path)
    return tuple(found)


@cache
def _packages(folder: Path) -> tuple[Path, ...]:
    """The folders of installed packages in a folder of libraries."""
    return tuple(path for path in sorted(folder.glob(f"python*/{PACKAGES}")) if path.is_dir())


@cache
def _rules_of_machine() -> tuple[tuple[str, int], ...]:
    rules = [(path, landlock.READ_FILE | landlock.WRITE_FILE) for path in DEVICES]
    for path in _views():
        if not (path.is_symlink() and path.is_dir()):
            rules += _beneath(path, _packages(path))
    return tuple(rules)


def _beneath(path: Path, hidden: Sequence[Path]) -> Iterator[tuple[str, int]]:
    """Rules to read all beneath a path but what is hidden, whose names can be listed."""
    if not any(folder.is_relative_to(path) for folder in hidden):
        yield str(path), landlock.READ
    elif path not in hidden:
        yield str(path), landlock.READ_DIR
        for entry in sorted(path.iterdir()):
            if not entry.is_symlink():
                yield from _beneath(entry, hidden)


def _rules(room: Room) -> Iterator[tuple[str, int]]:
    yield from _rules_of_machine()
    for path in room.readable:
        yield str(path.absolute()), landlock.READ
    if room.writable:
        yield str(room.writable.absolute()), landlock.READ_DIR
        yield from ((str(file), landlock.WRITE) for file in _files(room.writable.absolute()))


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file() and not path.is_symlink()]


def _user() -> int:
    """A user that nobody is, and no other worker, as processes are counted by user."""
    with open("/proc/self/uid_map") as file:
        last = max(int(first) + int(count) for first, _, count in map(str.split, file))
    first = min(last, 1 << 31) - USERS - 4  # the last ones are nobody's in another sense
    return first + (os.getpid() * 64 + next(_started)) % USERS


_started = itertools.count()

BUBBLEWRAP = Bubblewrap()
NAMESPACES = Sandbox("namespaces", has_namespaces=True, interface=max(landlock.SCOPES))
LANDLOCK = Sandbox("landlock", interface=max(landlock.SCOPES))
NONE = Sandbox("none", has_filter=False, changes_user=False)
SANDBOXES = (BUBBLEWRAP, NAMESPACES, LANDLOCK)
