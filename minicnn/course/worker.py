"""The process that computes on a student's code: ``python -m minicnn.course.worker``. It judges nothing.

It is started by ``supervision`` and imports what it needs before it is asked. A request (``wire``) names a file of
checks, one check in it, the student's files and the values of the cases; the replies are the check's answers. On Linux
each check runs in a fork of this process, so that whatever the student's code does to the process it does to its own
check alone; elsewhere the supervisor starts a new process after each check.

No expected value ever gets here, nor the reference where it is not installed.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import linecache
import os
import pdb
import signal
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NoReturn

import minicnn

from .adoption import adopt
from .checks import CHECKS, define
from .edition import EDITION
from .execution import Failure, State, execute, failure
from .loading import Modules, Unloadable, let_import_helpers, load
from .manifest import Homework, find_task, homework
from .wire import WireError, receive, send

FORKS = sys.platform == "linux"  # elsewhere a fork may lack what the system's libraries keep in threads
WHERE = getattr(signal, "SIGUSR1", None)  # asks a process where it is, before it is ended


def main() -> None:
    """Serve requests until the grader ends."""
    requests, replies = _private(0, "rb"), _private(1, "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # input() finds nothing
    os.dup2(2, 1)  # the file in which all output is collected
    sys.stdout, sys.stderr = _text_stream(1), _text_stream(2)
    sys.breakpointhook = pdb.set_trace = _no_debugger
    _end_with_the_grader()
    server = Server(replies, *map(Path, sys.argv[1:]))
    server.reply(ready=True)
    while True:
        try:
            request = receive(requests)
        except EOFError:
            return
        server.serve(request)


class Server:
    """What has been imported so far, and how a request is served."""

    def __init__(self, replies: IO[bytes], output: Path, traces: Path) -> None:
        self.replies, self.output = replies, output
        self.traces = open(traces, "wb", buffering=0)  # noqa: SIM115
        faulthandler.enable(self.traces)
        if WHERE is not None:
            faulthandler.register(WHERE, self.traces)
        with contextlib.suppress(NotImplementedError):  # homework, in a student's edition
            minicnn.ones(1, requires_grad=True).sum().backward()  # what is imported at first use is there in each fork
        self.modules: dict[str, Any] = {}  # by path
        self.defined: set[str] = set()
        self.compiles = False
        self.started_in = Path.cwd()
        self.recursion_limit = sys.getrecursionlimit()
        self.streams = (sys.stdout, sys.stderr)
        self.modes = contextlib.ExitStack()

    def serve(self, request: dict[str, Any]) -> None:
        """Import what is not there yet, run the check, and say that it is over."""
        self._import(request)
        gc.freeze()  # so that collecting in a fork leaves these pages alone
        if not FORKS:
            self._run(request)
            self.reply(done=0, left=False)
            return
        child = os.fork()
        if child == 0:
            self._run_in_fork(request)
        _, status = os.waitpid(child, 0)
        self.reply(done=os.waitstatus_to_exitcode(status), left=_has_children())

    def _run_in_fork(self, request: dict[str, Any]) -> NoReturn:
        _end_with_the_grader()
        # A thread that takes the question where the process is, if the student's code blocks signals.
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        try:
            self._run(request)
        finally:
            os._exit(0)  # whatever was registered to run at the exit stays undone

    def _import(self, request: dict[str, Any]) -> None:
        for name in request["imports"]:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        if request["tests"] not in self.defined:
            define(Path(request["tests"]))
            self.defined.add(request["tests"])
        owner, _ = find_task(request["task"])
        for name, file in request["earlier"].items():
            before, _, stem = name.partition("/")
            self._load(name, homework(before), stem, file, adopted=True)
        for stem, file in request["files"].items():
            self._load(stem, owner, stem, file, adopted=EDITION is not None)
        if "numba" in sys.modules and not self.compiles:
            sys.modules["numba"].njit(lambda: 0)()  # Numba's second of preparation, once and not in every fork
            self.compiles = True

    def _load(self, name: str, owner: Homework, stem: str, file: str, adopted: bool) -> None:
        """Import a file, if that has not been done; where it is ``adopted``, the library calls it from now on."""
        let_import_helpers(Path(file).parent)
        if file in self.modules:
            return
        self.reply(importing=name)
        module = self.modules[file] = load(owner, stem, Path(file))
        os.chdir(self.started_in)
        linecache.getlines(file)
        if adopted and isinstance(module, ModuleType):
            adopt(importlib.import_module(owner.modules[stem]), module, owner.holes(stem))
            if owner.modules[stem].startswith("minicnn.backend.reference."):  # what is compiled would not call them
                with contextlib.suppress(ImportError):
                    self.modes.enter_context(importlib.import_module("minicnn.backend.cpu").plain())
        self.reply(imported=name)

    def _run(self, request: dict[str, Any]) -> None:
        check = CHECKS[request["task"]][request["check"]]
        modules: Modules = {
            **{stem: self.modules[file] for stem, file in request["files"].items()},
            **{stem: Unloadable(message) for stem, message in request["unloadable"].items()},
        }
        _tell_of_compiling(self)
        for number, case in request["cases"].items():
            self.reply(case=number)
            try:
                outcome = execute(check, modules, case)
            except KeyboardInterrupt as error:  # raised by the student: Ctrl-C does not come here
                outcome = failure(error, modules)
            sys.setrecursionlimit(self.recursion_limit)
            for stream in self.streams:
                with contextlib.suppress(ValueError):  # closed by the student
                    stream.flush()
            self._answer(number, outcome)

    def _answer(self, number: int, outcome: Any) -> None:
        about: dict[str, Any] = {"number": number, "printed": os.stat(self.output).st_size}
        if isinstance(outcome, Failure):
            kept = {name: getattr(outcome, name) for name in ("text", "kind", "frames", "unwritten")}
            self.reply(**about, state=str(outcome.state), **kept)
            return
        try:
            self.reply(**about, answers=outcome)
        except WireError as error:
            self._answer(number, Failure(State.WRONG, f"what came back: {error}", "WireError"))

    def reply(self, **fields: Any) -> None:
        """Send one message to the grader."""
        send(self.replies, fields)


class Breakpoint(BaseException):
    """The code under test asked for a debugger, and here there is no keyboard."""


def _no_debugger(*_: Any, **__: Any) -> NoReturn:
    raise Breakpoint("breakpoint() waits for input from a keyboard: run with --here, in a terminal, or take it out")


def _tell_of_compiling(server: Server) -> None:
    """Tell the grader when Numba compiles: that time is not the student's."""
    if "numba" not in sys.modules:
        return
    from numba.core import event

    class Listener(event.Listener):
        depth = 0

        def on_start(self, _: Any) -> None:
            if self.depth == 0:
                server.reply(compiling=True)
            self.depth += 1

        def on_end(self, _: Any) -> None:
            self.depth -= 1
            if self.depth == 0:
                server.reply(compiling=False)

    event.register("numba:compile", Listener())


def _private(number: int, mode: str) -> IO[bytes]:
    """A copy of a standard stream that the student's code and its children do not know."""
    return os.fdopen(os.dup(number), mode)


def _text_stream(number: int) -> Any:
    return os.fdopen(number, "w", encoding="utf-8", errors="replace", closefd=False, buffering=1)


def _end_with_the_grader() -> None:
    """Die when the parent dies, and be the parent of what is left behind (Linux)."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        libc.prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main()
