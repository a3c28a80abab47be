"""The grader's side of a worker: hand it cases, watch what they cost (``workers``), take its answers.

What comes back is taken for answers of unknown origin: arrays, numbers and strings (``wire``), compared by ``judging``
in this process, where the worker cannot reach.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from . import execution, workers
from .checks import Case, Check
from .comparison import Answers, as_answers
from .execution import Failure, Outcome, State
from .wire import WireError
from .workers import Stopped, Watch, Worker, Workplace, said

IMPORT_SECONDS = 10.0  # of computing, for a student's file


@dataclass
class Run:
    """What a worker made of one check: outcomes by the number of the case, and what was printed until each was there.

    ``ended`` says why it did not get through all cases.
    """

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    printed: dict[int, str] = field(default_factory=dict)
    ended: Failure | None = None


class Supervisor:
    """Runs checks on the files in one folder, in a worker that is started now and replaced whenever it is ended.

    Args:
        folder: holds the student's files of one homework.
        earlier: files of the student's earlier homework by ``hw2/conv``, which minicnn calls in the place of its own.
    """

    def __init__(
        self, folder: Path, workplace: Workplace | None = None, earlier: Mapping[str, Path] | None = None
    ) -> None:
        self.folder, self.workplace = folder, workplace or Workplace()
        self.earlier = {name: str(path) for name, path in (earlier or {}).items()}
        self._unloadable: dict[str, str] = {}  # what is said of the files whose import ended a worker
        self._worker: Worker | None = Worker(self.workplace)

    def run(
        self, check: Check, cases: Mapping[int, Case], reference_seconds: Callable[[], float], at_once: bool = True
    ) -> Run:
        """Run a check's driver on some of its cases, by their numbers.

        Args:
            reference_seconds: how long the reference computes for all cases of the check: asked while the worker runs.
            at_once: ask in any case, and not only where the worker takes long.

        Raises:
            WorkerFailed: if no worker starts.
        """

        def limit() -> float:
            return max(execution.CPU_SECONDS, execution.REFERENCE_FACTOR * reference_seconds())

        while True:
            run = Run()
            worker = self._worker = self._worker or Worker(self.workplace)
            kernels = _kernels()
            importing = self._run(worker, self._request(check, cases, kernels), limit, at_once, run)
            if importing is not None:
                assert run.ended is not None
                where = run.ended.frames[-1] if run.ended.frames else self._file(importing)
                self._unloadable[self._file(importing)] = f"{where}: while this was imported, {run.ended.text}"
            elif run.ended is None or run.ended.state is not State.TIMEOUT or kernels == _kernels():
                return run
            # else the reference has only now shown which kernels have to be there before the clock runs

    def _run(
        self, worker: Worker, request: Mapping[str, Any], limit: Callable[[], float], at_once: bool, run: Run
    ) -> str | None:
        """Fill ``run``; returns the stub file whose import ended the worker, if that is what happened."""
        importing, cases = None, request["cases"]
        since = worker.traces.stat().st_size
        worker.watch = Watch(
            worker, lambda: workers.START_SECONDS
        )  # what minicnn imports for itself is not the student's time
        started, alone = False, True
        try:
            worker.ask(request)
            if at_once:
                limit()
            to_import = {*request["earlier"], *request["files"]}
            for message in worker.messages():
                if "importing" in message:
                    to_import.remove(message["importing"])  # each once: a new watch begins
                    importing, worker.watch = message["importing"], Watch(worker, lambda: IMPORT_SECONDS)
                elif "imported" in message and importing is not None:
                    importing, worker.watch = None, Watch(worker, lambda: workers.START_SECONDS)
                elif "case" in message:
                    worker.watch, started = (worker.watch, True) if started else (Watch(worker, limit), True)
                elif "compiling" in message:
                    worker.watch.compiling(message)
                elif message.get("number") in cases:
                    run.outcomes[message["number"]] = _outcome(message)
                    run.printed[message["number"]] = worker.printed(message["printed"])
                elif "done" in message:
                    if len(run.outcomes) < len(cases):
                        run.ended = _end_of(message["done"])
                    alone = not message["left"]
                else:
                    raise WireError(f"expected news of a check, got {sorted(message)[:4]}")
        except Stopped as stopped:
            worker.ask_where()
            run.ended = Failure(stopped.state, str(stopped), stopped.state.title())
        except (EOFError, OSError, WireError, KeyError, TypeError, ValueError, AttributeError) as error:
            run.ended = _end_of(worker.end(), error)
        if run.ended is None and worker.is_reusable and alone:  # what goes on forking is ended with the worker only
            return None
        worker.end()
        self._worker = None
        if run.ended is None:
            return None
        run.ended = replace(run.ended, frames=worker.last_frames(since, str(self.folder)))
        if importing is None:
            number = next((number for number in cases if number not in run.outcomes), next(iter(cases)))
            run.outcomes[number], run.printed[number] = run.ended, worker.printed()
        return importing

    def _request(self, check: Check, cases: Mapping[int, Case], kernels: list[str]) -> dict[str, Any]:
        stems = check.homework.modules if self.workplace.is_cut else check.stems
        files = {stem: self._file(stem) for stem in stems}
        return {
            "tests": str(self.workplace.tests(check)),
            "task": check.task_id,
            "check": check.name,
            "earlier": {name: file for name, file in self.earlier.items() if file not in self._unloadable},
            "files": {stem: file for stem, file in files.items() if file not in self._unloadable},
            "unloadable": {stem: self._unloadable[file] for stem, file in files.items() if file in self._unloadable},
            "imports": kernels,
            "cases": dict(cases),
        }

    def _file(self, name: str) -> str:
        return self.earlier.get(name) or str(self.folder / f"{name}.py")

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None


def _kernels() -> list[str]:
    """The modules with minicnn's kernels that have been imported here: the reference needed them."""
    return [name for name in sys.modules if name.startswith("minicnn.backend.cpu.")]


def _outcome(message: Mapping[str, Any]) -> Outcome:
    """An outcome as the worker sent it. Raises ValueError or TypeError for anything else."""
    if "answers" in message:
        return _answers(message["answers"])
    state = State(message["state"])
    if state in (State.PASS, State.NOT_RUN):
        raise ValueError(f"{state} is not for a worker to say")
    frames = tuple(map(said, message.get("frames", ())[: execution.FRAMES + 1]))
    text, kind, unwritten = (said(message[part]) for part in ("text", "kind", "unwritten"))
    return Failure(state, text, kind, frames, unwritten)


def _answers(flat: Any) -> Answers:
    """Answers that are flat, as ``as_answers`` left them in the worker: flattened here, names would grow."""
    if type(flat) is not dict or not all(map(_is_flat, flat.values())):
        raise ValueError("expected numbers, strings and arrays by their names")
    return as_answers({said(name): value for name, value in flat.items()})


def _is_flat(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(part, (int, float)) for part in value)
    return value is None or isinstance(value, (str, int, float, np.ndarray, np.generic))


def _end_of(status: int | None, error: Exception | None = None) -> Failure:
    """What is said of a process that ended by itself before its answers were there."""
    if status is not None and status < 0:
        names = {each.value: each.name for each in signal.Signals}  # of real-time signals only two have names
        name = names.get(-status, f"signal {-status}")
        return Failure(State.CRASH, f"it crashed the process ({name}: {signal.strsignal(-status)})", "Crash")
    if status is not None:
        return Failure(
            State.CRASH, f"it ended the process (exit status {status}) before its answers were there", "Crash"
        )
    return Failure(State.CRASH, f"the process can no longer be understood ({error})", "Crash")
