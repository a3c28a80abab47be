"""A class: every submission graded once, by several processes or a cluster, and nothing lost on the way.

A job is a submission and the ``Terms`` that it is graded on. Whoever grades it makes what it needs, once for each
process: the cut library, the packages, the sandbox.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..checks import define
from ..manifest import Homework, homework, public_seed, variant
from . import records
from .cell import Cell, lay_out_packages, library_for
from .flags import flags
from .marking import Seeds, mark
from .sandbox import Sandbox, find_sandbox
from .sentinels import sentinels
from .submissions import Submission

ATTEMPTS = 3  # at a submission, where this machine is at fault


@dataclass(frozen=True)
class Terms:
    """On what terms a batch is graded; the same for all.

    Args:
        root: of the course, where this process and all others find it.
        hidden_seed: of the hidden cases, None for none.
        trust: grade without a sandbox where there is none.
    """

    root: Path
    homework: str
    variant: str = ""
    hidden_seed: int | None = None
    trust: bool = False


@dataclass
class Batch:
    """What became of a class. ``void`` says which sentinel was graded wrongly; then no grade is worth anything."""

    graded: dict[str, str] = field(default_factory=dict)  # student -> file
    infrastructure: dict[str, str] = field(default_factory=dict)  # student -> why
    void: str = ""


class _Bench:
    """What a process needs to grade a homework, made once and removed when it ends."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.owner: Homework = homework(terms.homework)
        define(terms.root / self.owner.tests)
        self.seeds = Seeds(public_seed(), terms.hidden_seed)
        self.sandbox: Sandbox = find_sandbox(terms.trust)
        self._folder = tempfile.TemporaryDirectory(prefix="minicnn-grading-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        folder.chmod(0o755)  # a worker is another user
        self.library = library_for(self.owner, terms.root, folder / "library")
        self.packages = lay_out_packages(folder / "packages")

    @contextmanager
    def folder_of(self, files: Mapping[str, bytes]) -> Iterator[Path]:
        """A folder with the homework's folder in it, as ``assignments`` is."""
        with tempfile.TemporaryDirectory(prefix="minicnn-student-", ignore_cleanup_errors=True) as made:
            folder = Path(made) / self.owner.folder
            folder.mkdir()
            for each in (Path(made), folder):
                each.chmod(0o755)
            for name, content in files.items():
                (folder / name).write_bytes(content)
            yield Path(made)

    def grade(self, submission: Submission, key: str) -> dict[str, Any]:
        """The result of one submission."""
        started = time.monotonic()
        with self.folder_of(submission.files) as folder:
            cell = Cell(self.sandbox, self.library, self.packages, folder)
            checks = mark(self.owner, folder, self.seeds, cell)
            checks = [replace(check, message=check.message.replace(f"{folder}/", "")) for check in checks]
        seconds = time.monotonic() - started
        made = records.result(submission, self.owner, checks, key, self.sandbox.name, seconds)
        made["submission"]["flags"] = flags(submission.files)
        return made


@cache
def _bench(terms: Terms) -> _Bench:
    return _Bench(terms)


def grade_one(submission: Submission, terms: Terms, key: str = "") -> dict[str, Any]:
    """Grade one submission in this process.

    Raises:
        WorkerFailed, OSError: if this machine is at fault.
        NoSandbox: if there is none, and ``terms`` trust nobody.
    """
    with variant(terms.variant):
        return _bench(terms).grade(submission, key)


def grade(
    submissions: Sequence[Submission],
    terms: Terms,
    out: Path,
    executor: Callable[[], Executor],
    tell: Callable[[str], None] = lambda line: None,
) -> Batch:
    """Grade all submissions that have no result in ``out`` yet.

    Args:
        executor: makes what runs the jobs; it is asked for another one where one breaks.
        tell: is given a line for each submission.
    """
    batch = Batch()
    with variant(terms.variant):
        owner = homework(terms.homework)
        define(terms.root / owner.tests)
        seeds = Seeds(public_seed(), terms.hidden_seed)
        keys = {each.student: records.key(each, owner, seeds, [find_sandbox(terms.trust).name]) for each in submissions}
        guards = {guard.submission.student: guard for guard in sentinels(owner)}
    jobs: list[Job] = [(guard.submission, "") for guard in guards.values()]
    for student, result, why in _run(jobs, terms, executor):
        fault = guards[student].fault(result) if result else why
        if fault and not batch.void:
            batch.void = f"{student}: {fault}"
    if batch.void:
        return batch
    tell(f"{len(guards)} sentinels, all graded as they must be")
    jobs = []
    for submission in submissions:
        file = records.path(out, submission, keys[submission.student])
        batch.graded[submission.student] = file.relative_to(out).as_posix()
        if records.read(file, keys[submission.student]) is None:
            jobs.append((submission, keys[submission.student]))
    tell(f"{len(submissions)} submissions, {len(submissions) - len(jobs)} of them graded before")
    for number, (student, result, why) in enumerate(_run(jobs, terms, executor), 1):
        if result is None:
            batch.infrastructure[student] = why
            told = f"not graded: {why}"
            del batch.graded[student]
        else:
            records.write(out / batch.graded[student], result)
            told = f"{result['points']}/{result['max_points']}"
        tell(f"{student}: {told} ({number} of {len(jobs)})")
    return batch


Job = tuple[Submission, str]  # and the key of its result
Outcome = tuple[str, dict[str, Any] | None, str]  # student; result, or why there is none


def _run(jobs: Sequence[tuple[Submission, str]], terms: Terms, executor: Callable[[], Executor]) -> Iterator[Outcome]:
    """Run jobs, each up to ``ATTEMPTS`` times, the last time alone: what this machine is to blame for may be over."""
    for attempt in range(1, ATTEMPTS + 1):
        failed = []
        for group in [[job] for job in jobs] if attempt == ATTEMPTS else [jobs]:
            for job, result, why in _run_once(group, terms, executor):
                if result is None and attempt < ATTEMPTS:
                    failed.append(job)
                else:
                    yield job[0].student, result, why
        jobs = failed


def _run_once(
    jobs: Sequence[Job], terms: Terms, executor: Callable[[], Executor]
) -> Iterator[tuple[Job, dict[str, Any] | None, str]]:
    if not jobs:
        return
    with executor() as pool:
        try:
            futures: dict[Future[dict[str, Any]], Job] = {
                pool.submit(grade_one, job[0], terms, job[1]): job for job in jobs
            }
            for future in as_completed(futures):
                error = future.exception()
                if error is None:
                    yield futures[future], future.result(), ""
                else:  # a submission that breaks a grader costs nobody else a grade
                    yield futures[future], None, f"{type(error).__name__}: {error}"
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def local(processes: int) -> Callable[[], Executor]:
    """As many processes on this machine."""
    context = multiprocessing.get_context("spawn")
    return lambda: ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """A process of the pool would wait for jobs forever if the one that gives them was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def wait() -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def dask(address: str) -> Callable[[], Executor]:
    """The workers of a cluster of Dask's. They find the course under the same path, and a sandbox of their own.

    Raises:
        ImportError: without Dask.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError("--dask needs Dask: pip install 'minicnn[dask]'") from error
    return Client(address).get_executor


__all__ = ["Batch", "Terms", "dask", "grade", "grade_one", "local"]
