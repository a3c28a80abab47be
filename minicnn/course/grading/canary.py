"""A worker that tries what it must not: ``python -I -S canary.py BAIT``; and the bait, in the process that starts it.

It harms nothing but the bait: a process that stands for the grader's, files, sockets. What it says of itself is
believed, as it is our own; what it did to the bait is looked at.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

SECRET = "a secret of the grader"
VARIABLE = "MINICNN_CANARY"
SEIZE = 0x4206
FILES = 32  # of the largest size: more than any limited place has space for
TASKS = 400  # more than any limit allows
START_SECONDS, END_SECONDS, LIFE_SECONDS = 20.0, 0.5, 10.0

Attempt = Callable[[dict[str, Any]], Any]

_libc = ctypes.CDLL(None, use_errno=True)


# ---- what is tried: anything but an error and what is false counts as done -------------------------------------------


def _read(path: str) -> bool:
    with open(path, "rb") as file:
        return SECRET.encode() in file.read(1 << 16)


def _read_memory(bait: dict[str, Any]) -> bool:
    with open(f"/proc/{bait['process']}/mem", "rb", buffering=0) as memory:
        memory.seek(bait["address"])
        return SECRET.encode() in memory.read(64)


def _copy_memory(bait: dict[str, Any]) -> bool:
    class Part(ctypes.Structure):
        _fields_ = [("start", ctypes.c_void_p), ("size", ctypes.c_size_t)]

    buffer = ctypes.create_string_buffer(64)
    here, there = Part(ctypes.addressof(buffer), 64), Part(bait["address"], 64)
    _libc.process_vm_readv(bait["process"], ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return SECRET.encode() in buffer.raw


def _read_environment(_: dict[str, Any]) -> bool:
    places = [os.environb.get(VARIABLE.encode(), b"")]
    for process in filter(str.isdigit, os.listdir("/proc") if os.access("/proc", os.R_OK) else ()):
        with contextlib.suppress(OSError), open(f"/proc/{process}/environ", "rb") as file:
            places.append(file.read())
    return any(SECRET.encode() in place for place in places)


def _write(bait: dict[str, Any]) -> None:
    for folder in bait["folders"]:
        with contextlib.suppress(OSError):
            os.close(os.open(os.path.join(folder, bait["mark"]), os.O_CREAT | os.O_WRONLY))


def _fill(folder: str, bait: dict[str, Any]) -> bool:
    made, data = [], bytes(bait["file_size"])
    try:
        for number in range(FILES):
            made.append(os.path.join(folder, f"{bait['mark']}-{number}"))
            with open(made[-1], "wb") as file:
                file.write(data)
        return True
    finally:
        for path in made:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _fill_memory_files(bait: dict[str, Any]) -> bool:
    with contextlib.ExitStack() as files:
        for _ in range(FILES):
            files.enter_context(open(os.memfd_create("canary"), "wb", buffering=0)).write(bytes(bait["file_size"]))
    return True


def _fill_shared_memory(bait: dict[str, Any]) -> bool:
    made = _libc.shmget(0, ctypes.c_size_t(FILES * bait["file_size"]), 0o600)
    return made >= 0 and _libc.shmctl(made, 0, None) == 0  # removed at once


def _large_file(bait: dict[str, Any]) -> bool:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open(bait["own"], "wb", buffering=0) as file:
        return file.write(bytes(2 * bait["file_size"])) > bait["file_size"]


def _send(bait: dict[str, Any], name: str) -> None:
    kind = next(kind for kind in SOCKETS.values() if kind[0] == name)
    with socket.socket(*kind[1:]) as line:
        line.settimeout(1)
        line.connect(tuple(bait[name]) if isinstance(bait[name], list) else bait[name])
        line.send(b"from the canary")


def _signal_by_file(bait: dict[str, Any]) -> None:
    import fcntl

    reader, writer = os.pipe()
    fcntl.fcntl(reader, 8, bait["process"])  # F_SETOWN: who gets SIGIO
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.write(writer, b".")
    time.sleep(0.01)


def _multiply(_: dict[str, Any]) -> bool:
    reader, writer = os.pipe()
    children = []
    try:
        for _number in range(TASKS):
            child = os.fork()
            if child == 0:
                os.close(writer)
                os.read(reader, 1)  # until the writer is gone
                os._exit(0)
            children.append(child)
        return True
    finally:
        os.close(writer)
        for child in children:
            os.waitpid(child, 0)


def _done(function: Callable[..., None], *arguments: Any) -> bool:
    function(*arguments)
    return True


def _raise(name: str, _: dict[str, Any]) -> bool:
    return _done(resource.setrlimit, getattr(resource, f"RLIMIT_{name}"), (resource.RLIM_INFINITY,) * 2)


def _new_namespace(_: dict[str, Any]) -> bool:
    child = os.fork()
    if child == 0:
        os._exit(_libc.unshare(0x10000000) == 0)
    return os.waitpid(child, 0)[1] != 0


def _stay(bait: dict[str, Any]) -> None:
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError):
            os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _libc.prctl(1, 0)  # it does not end with its parent
            until = time.monotonic() + LIFE_SECONDS  # in any case
            while time.monotonic() < until and os.path.exists(bait["own"]):
                time.sleep(0.02)  # holding the standard output
        os._exit(0)
    os.waitpid(child, 0)


ATTEMPTS: dict[str, tuple[Attempt, ...]] = {
    "read a file outside its room": (lambda bait: _read(bait["secret"]),),
    "read the grader's files through /proc": (
        lambda bait: _read(f"/proc/{bait['process']}/root{bait['secret']}"),
        lambda bait: _read(f"/proc/{bait['process']}/cwd/{os.path.basename(bait['secret'])}"),
        lambda bait: _read(f"/proc/{os.getppid()}/root{bait['secret']}"),
    ),
    "read the grader's memory": (_read_memory, _copy_memory),
    "read the grader's environment": (_read_environment,),
    "trace a process of the grader": (lambda bait: _libc.ptrace(SEIZE, bait["process"], None, None) == 0,),
    "write outside its folder": (_write,),
    "change a file outside its folder": (
        lambda bait: os.chmod(bait["kept"], 0o755),
        lambda bait: os.truncate(bait["kept"], 1),
        lambda bait: os.open(bait["kept"], os.O_RDONLY | os.O_TRUNC),
        lambda bait: os.utime(bait["kept"], (1, 1)),
    ),
    "fill the memory or the disk": (
        lambda bait: _fill("/dev/shm", bait),
        lambda bait: _fill("/tmp", bait),
        lambda bait: _fill(".", bait),
        _fill_memory_files,
        _fill_shared_memory,
    ),
    "write a file larger than allowed": (_large_file,),
    "reach the network by TCP": (lambda bait: _send(bait, "tcp"),),
    "reach the network by UDP": (lambda bait: _send(bait, "udp"),),
    "reach an abstract Unix socket": (lambda bait: _send(bait, "abstract"),),
    "reach a Unix socket": (lambda bait: _send(bait, "unix"),),
    "change the limits or the priority of a process of the grader": (
        lambda bait: _done(os.setpriority, os.PRIO_PROCESS, bait["process"], 19),
        lambda bait: _done(os.sched_setaffinity, bait["process"], os.sched_getaffinity(0)),
        lambda bait: resource.prlimit(bait["process"], resource.RLIMIT_CORE, (0, 0)),
    ),
    "have more memory than allowed": (lambda _: mmap.mmap(-1, 1 << 30),),
    "have more processes than allowed": (_multiply,),
    "raise its own limits": tuple(partial(_raise, name) for name in ("AS", "NPROC", "FSIZE", "CPU")),
    "have a namespace of its own": (_new_namespace,),
    "signal a process of the grader": (lambda bait: os.kill(bait["process"], signal.SIGTERM), _signal_by_file),
    "leave a process behind": (_stay,),
}
SOCKETS = {  # in the order of the bait's
    "reach the network by TCP": ("tcp", socket.AF_INET, socket.SOCK_STREAM),
    "reach the network by UDP": ("udp", socket.AF_INET, socket.SOCK_DGRAM),
    "reach an abstract Unix socket": ("abstract", socket.AF_UNIX, socket.SOCK_STREAM),
    "reach a Unix socket": ("unix", socket.AF_UNIX, socket.SOCK_STREAM),
}


def main() -> None:
    """Try everything and write what was done, as JSON, to the standard output."""
    bait = json.loads(sys.argv[1])
    done = []
    for name in bait["attempts"]:
        for attempt in ATTEMPTS[name]:
            with contextlib.suppress(OSError, MemoryError, ValueError):
                if attempt(bait):
                    done.append(name)
    os.write(1, json.dumps(done).encode() + b"\n")


# ---- the bait --------------------------------------------------------------------------------------------------------

# Stands for the grader: a secret in its memory and its environment, ready to be killed.
PROCESS = f"""
import ctypes, time
buffer = ctypes.create_string_buffer({SECRET.encode()!r}, 64)
print(ctypes.addressof(buffer), flush=True)
time.sleep({START_SECONDS + LIFE_SECONDS})
"""


class Bait(contextlib.ExitStack):
    """Files, sockets and a process that no worker must reach."""

    def __enter__(self) -> Bait:
        super().__enter__()
        self.folder, self.scratch = (
            Path(self.enter_context(tempfile.TemporaryDirectory(prefix="minicnn-canary-"))) for _ in range(2)
        )
        (self.scratch / "own").touch()
        self.secret, self.kept = self.folder / "secret", self.folder / "kept"
        self.folder.chmod(0o755)  # it is not to depend on modes
        for path in (self.secret, self.kept):
            path.write_text(SECRET)
        names = {"unix": str(self.folder / "socket"), "abstract": f"\0{self.folder}"}
        self.lines = {}
        for attempt, (name, family, kind) in SOCKETS.items():
            line = self.lines[attempt] = self.enter_context(socket.socket(family, kind))
            line.bind(names.get(name, ("127.0.0.1", 0)))
            if kind == socket.SOCK_STREAM:
                line.listen()
        self.addresses = {SOCKETS[attempt][0]: line.getsockname() for attempt, line in self.lines.items()} | names
        self.environment = {**os.environ, VARIABLE: SECRET}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PROCESS], stdout=subprocess.PIPE, env=self.environment, cwd=self.folder
        )
        self.enter_context(self.process)
        self.callback(self.process.kill)
        assert self.process.stdout is not None
        self.address = int(self.process.stdout.readline())
        return self

    def caught_by(
        self,
        command: Callable[[list[str]], list[str]],
        end: Callable[[subprocess.Popen[bytes]], int],
        file_size: int,
        attempts: Sequence[str] = tuple(ATTEMPTS),
    ) -> list[str]:
        """Start a canary with what ``command`` makes of it, and say what it could do, or why it did not run.

        Args:
            end: ends it and what it started.
            file_size: bytes that a file may have there.
        """
        folders = [str(self.folder), "/tmp", "/var/tmp", "/dev/shm", "/", os.path.expanduser("~")]
        mark = self.folder.name + "-was-here"
        bait = {
            "attempts": attempts, "secret": str(self.secret), "kept": str(self.kept), "own": str(self.scratch / "own"),
            "process": self.process.pid, "address": self.address, "folders": folders, "mark": mark,
            "file_size": file_size, **self.addresses,
        }  # fmt: skip
        argv = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), json.dumps(bait)]
        before = self._state()
        with tempfile.TemporaryFile() as errors:
            canary = subprocess.Popen(
                command(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                env=self.environment, cwd=self.scratch, start_new_session=True,
            )  # fmt: skip
            assert canary.stdout is not None
            ready, _, _ = select.select([canary.stdout], [], [], START_SECONDS)
            said = canary.stdout.readline() if ready else b""
            status = end(canary)
            errors.seek(0)
            why = errors.read().decode(errors="replace").strip().splitlines()
        stayed = bool(said) and not (
            select.select([canary.stdout], [], [], END_SECONDS)[0] and canary.stdout.read(1) == b""
        )
        canary.stdout.close()
        if not said:
            return [f"it does not work here ({why[-1] if why else f'exit status {status}'})"]
        done = {*json.loads(said), *(name for name, line in self.lines.items() if select.select([line], [], [], 0)[0])}
        for folder in folders:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, mark))
                done.add("write outside its folder")
        seen = {
            "change a file outside its folder": self._state() != before,
            "signal a process of the grader": self.process.poll() is not None,
            "leave a process behind": stayed,
        }
        done.update(name for name, happened in seen.items() if happened)
        return [name for name in ATTEMPTS if name in done]

    def _state(self) -> tuple[int, int, int]:
        status = self.kept.stat()
        return status.st_mode, status.st_size, status.st_mtime_ns


if __name__ == "__main__":
    main()
