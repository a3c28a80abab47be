"""A worker as the grader holds it: started, listened to, watched for what it costs, and ended."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from . import execution
from .checks import Check
from .edition import EDITION
from .execution import State, student_frames
from .wire import receive, send
from .worker import WHERE

POLL_SECONDS = 0.05
ANSWER_SECONDS = 3.0  # by the clock, for the question where a process is
SETTLED = 3  # looks at the traces between which nothing was written: all is there
COMPILE_SECONDS = 240.0  # by the clock: Numba's, which is not counted as the student's
START_SECONDS = 120.0  # by the clock, until a worker is ready
AHEAD = 8  # messages that are read before they are needed
SHOWN_LINES, SHOWN_WIDTH = 60, 300  # of what a check prints


class WorkerFailed(RuntimeError):
    """A worker did not get ready: no student's code has run yet, so the fault is this machine's or minicnn's."""


class Workplace:
    """Where workers run: here, with the library that is here. ``grading.cell`` has one in a sandbox."""

    def start(self, output: Path, traces: Path) -> tuple[Sequence[str], Mapping[str, str]]:
        """The command that starts a worker, and its environment."""
        path = os.pathsep.join(path or os.getcwd() for path in sys.path)
        command = [sys.executable, "-P", "-m", "minicnn.course.worker", str(output), str(traces)]
        return command, {**os.environ, "PYTHONPATH": path}

    def processes(self, started: int) -> list[psutil.Process]:
        """A worker and all that it started, by the number of the process that was started."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(started)
            return [process, *process.children(recursive=True)]
        return []

    def end(self, started: subprocess.Popen[bytes]) -> None:
        """End a worker and all that it started."""
        processes = self.processes(started.pid)
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(started.pid, signal.SIGKILL)
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        started.kill()
        started.wait()

    def scratch(self) -> tempfile.TemporaryDirectory[str]:
        """A folder that a worker may write into."""
        return tempfile.TemporaryDirectory(prefix="minicnn-worker-", ignore_cleanup_errors=True)

    def tests(self, check: Check) -> Path:
        """The test file that defines a check, as a worker finds it."""
        return check.file

    @property
    def is_cut(self) -> bool:
        """Whether the library of the worker lacks the homework, and calls the student's."""
        return EDITION is not None


class Stopped(Exception):
    """A worker costs more than it may; carries the message to the student."""

    def __init__(self, state: State, text: str) -> None:
        super().__init__(text)
        self.state = state


class Watch:
    """What a worker costs, from the first look on, and whether that is too much."""

    def __init__(self, worker: Worker, limit: Callable[[], float]) -> None:
        self._worker, self._limit = worker, limit
        self._started = 0.0  # by the clock
        self._looked: tuple[float, float] | None = None  # by the clock, and of computing
        self._computed = self._waited = 0.0
        self._memory = self._memory_limit = 0
        self._compiling_since: float | None = None
        self._compiled = 0.0

    def compiling(self, message: Mapping[str, Any]) -> None:
        """Numba began or ended to compile: what is spent in between does not count."""
        if self._compiling_since is not None:
            self._compiled += time.monotonic() - self._compiling_since
        self._compiling_since = time.monotonic() if message["compiling"] else None
        if not message["compiling"]:
            self._looked = None

    def look(self) -> None:
        """Raises ``Stopped`` if the worker has cost more than it may."""
        limit = self._limit()
        now = time.monotonic()
        cpu, memory = self._worker.cost()
        compiling = 0.0 if self._compiling_since is None else now - self._compiling_since
        if not self._started:
            self._started, self._memory = now, memory
            self._memory_limit = min(execution.MEMORY, psutil.virtual_memory().available // 2)
        self._check_size(memory)
        if self._compiled + compiling > COMPILE_SECONDS:
            raise Stopped(State.TIMEOUT, f"it was stopped after compiling for {COMPILE_SECONDS:g} s")
        if compiling:
            return
        if self._looked is not None:
            passed, computed = now - self._looked[0], cpu - self._looked[1]
            self._computed += computed
            self._waited += max(0.0, passed - computed) if self._worker.is_asleep() else 0.0
        self._looked = now, cpu
        if self._computed > limit or now - self._started > execution.WALL_FACTOR * limit:
            raise Stopped(
                State.TIMEOUT, f"it was stopped after {self._computed:.3g} s of computing; {limit:.3g} s are allowed"
            )
        if self._waited > limit:
            raise Stopped(State.TIMEOUT, f"it was stopped after waiting for {self._waited:.3g} s without computing")

    def _check_size(self, memory: int) -> None:
        if memory - self._memory > self._memory_limit:
            raise Stopped(State.MEMORY, f"it was stopped when it held {(memory - self._memory) / 1e9:.2g} GB of memory")
        if (printed := self._worker.output.stat().st_size) > execution.OUTPUT:
            raise Stopped(State.ERROR, f"it was stopped when it had printed {printed / 1e6:.3g} MB")


class Worker:
    """One process, and the files in which its output and its traces are collected."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace, self._files = workplace, workplace.scratch()
        self.output, self.traces = (Path(self._files.name) / name for name in ("output", "traces"))
        self.traces.touch()
        self.traces.chmod(0o666)  # a worker may be another user
        self._shown = 0
        self.watch: Watch | None = None
        self._is_ready = False
        with open(self.output, "wb") as output:
            command, environment = workplace.start(self.output, self.traces)
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, start_new_session=True,
                env=environment,
            )  # fmt: skip
        self._replies: queue.Queue[Any] = queue.Queue(AHEAD)  # what is not read yet waits in the pipe
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def is_reusable(self) -> bool:
        """Whether another check may run in it: each had a process of its own."""
        return sys.platform == "linux" and self._process.poll() is None

    def _read(self) -> None:
        """Put what comes into the queue: a thread, since Windows can wait for a pipe in no other way."""
        assert self._process.stdout is not None
        try:
            while True:
                self._replies.put(receive(self._process.stdout))
        except (EOFError, OSError, ValueError, MemoryError) as error:
            self._replies.put(error)

    def ask(self, request: Mapping[str, Any]) -> None:
        """Send a request, without waiting until it is read: what a student's file left of the worker may never read.

        Raises:
            WorkerFailed: if the worker is not there to take it.
        """
        if not self._is_ready:
            self._wait_until_ready()
        whole = io.BytesIO()
        send(whole, dict(request))
        threading.Thread(target=self._write, args=(whole.getbuffer(),), daemon=True).start()

    def _write(self, data: memoryview) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended: no reply will come either
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _wait_until_ready(self) -> None:
        try:
            message = self._replies.get(timeout=START_SECONDS)
        except queue.Empty:
            message = f"it is not ready after {START_SECONDS:g} s"
        self._is_ready = message == {"ready": True}
        if not self._is_ready:
            self.end()
            raise WorkerFailed(f"no worker could be started ({message}): {self.printed().strip() or 'it said nothing'}")

    def messages(self) -> Iterator[Mapping[str, Any]]:
        """The replies to a request, up to the last; the watch looks while none comes.

        Raises:
            Stopped: if the worker costs too much.
            EOFError, OSError, WireError: if it ended, or wrote what is no message.
        """
        looked = time.monotonic()
        while True:
            message = None
            with contextlib.suppress(queue.Empty):
                message = self._replies.get(timeout=POLL_SECONDS)
            if message is None or time.monotonic() - looked > POLL_SECONDS:
                looked = time.monotonic()
                if self.watch is not None:
                    self.watch.look()
            if message is None:
                continue
            if isinstance(message, Exception):
                raise message
            yield message
            if "done" in message:
                return

    def cost(self) -> tuple[float, int]:
        """Seconds of computing and bytes of memory, of the process and all that it started."""
        seconds, memory = 0.0, 0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                seconds += sum(times[:4])  # user, system, and the same of children that are over
                memory += process.memory_info().rss
        return seconds, memory

    def is_asleep(self) -> bool:
        """Whether none of its processes wants to compute."""
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                if process.status() not in (psutil.STATUS_SLEEPING, psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                    return False
        return True

    def _processes(self) -> list[psutil.Process]:
        return self._workplace.processes(self._process.pid)

    def printed(self, until: int | None = None) -> str:
        """What was printed since this was last asked, up to a place in the output; a flood without its middle."""
        with open(self.output, "rb") as output:
            output.seek(self._shown)
            text = output.read(
                execution.OUTPUT if until is None else min(max(0, until - self._shown), execution.OUTPUT)
            )
        self._shown += len(text)
        return _shortened(text.decode("utf-8", errors="replace"))

    def last_frames(self, since: int, folder: str) -> tuple[str, ...]:
        """Where the student's code was when it ended, by the traces of all threads written since ``since``."""
        with open(self.traces, "rb") as traces:
            traces.seek(max(since, self.traces.stat().st_size - 2**16))
            text = traces.read().decode("utf-8", errors="replace")
        found: tuple[str, ...] = ()
        for thread in text.split("(most recent call first):\n"):
            frames = [
                (m[1], int(m[2]), m[3]) for m in re.finditer(r'  File "([^"\n]*)", line (\d{1,9}) in (.*)', thread)
            ]
            found = student_frames(frames[::-1], [folder]) or found
        return tuple(map(said, found))  # the student's code can write there, too

    def ask_where(self) -> None:
        """Let the processes write down where they are, if they still can."""
        if WHERE is None:
            return
        before = size = self.traces.stat().st_size
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(WHERE)
        quiet, deadline = 0, time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline and quiet < SETTLED:  # several processes write, one after the other
            time.sleep(POLL_SECONDS)
            last, size = size, self.traces.stat().st_size
            quiet = quiet + 1 if before < size == last else 0

    def end(self) -> int | None:
        """End it and all that it started. Returns its exit status if it had ended by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(POLL_SECONDS if self._replies.empty() else 0)
        status = self._process.poll()
        self._workplace.end(self._process)
        with contextlib.suppress(queue.Empty):  # so that the reader gets on
            while True:
                self._replies.get_nowait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError, AttributeError):
                stream.close()  # type: ignore[union-attr]
        return status


def _shortened(text: str) -> str:
    lines = [line if len(line) <= SHOWN_WIDTH else f"{line[:SHOWN_WIDTH]} ..." for line in text.splitlines()]
    if len(lines) > SHOWN_LINES:
        half = SHOWN_LINES // 2
        lines[half:-half] = [f"... {len(lines) - SHOWN_LINES} more lines ..."]
    return "\n".join(lines)


def said(text: Any) -> str:
    """What a worker says, cut where no honest one is as long, without what a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in str(text)[: 2 * execution.TEXT])
