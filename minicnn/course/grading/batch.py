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


@dataclass(frozen=True)
class Earlier:
    """A student's earlier homework: files by ``hw2/conv``, and the first task of it that is not right."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    first_wrong: str | None = None


@dataclass(frozen=True)
class Job:
    """A submission to be graded; the ``key`` of its result; what is graded beside it, for a look."""

    submission: Submission
    key: str = ""
    earlier: Earlier = field(default_factory=Earlier)


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
    def folder_of(self, files: Mapping[str, bytes], earlier: Mapping[str, bytes]) -> Iterator[Path]:
        """A folder with the homework's folder in it, as ``assignments`` is; earlier homework as ``hw2/conv.py``."""
        with tempfile.TemporaryDirectory(prefix="minicnn-student-", ignore_cleanup_errors=True) as made:
            folder = Path(made) / self.owner.folder
            folder.mkdir()
            for name, content in files.items():
                (folder / name).write_bytes(content)
            for name, content in earlier.items():
                (Path(made) / name).parent.mkdir(exist_ok=True)
                (Path(made) / f"{name}.py").write_bytes(content)
            for each in (Path(made), *filter(Path.is_dir, Path(made).iterdir())):
                each.chmod(0o755)
            yield Path(made)

    def grade(self, job: Job) -> dict[str, Any]:
        """The result of one submission."""
        submission, started = job.submission, time.monotonic()
        with self.folder_of(submission.files, job.earlier.files) as folder:
            cell = Cell(self.sandbox, self.library, self.packages, folder)
            checks = mark(self.owner, folder, self.seeds, cell, {})
            checks = [replace(check, message=check.message.replace(f"{folder}/", "")) for check in checks]
            seconds = time.monotonic() - started
            made = records.result(submission, self.owner, checks, job.key, self.sandbox.name, seconds)
            made["submission"]["flags"] = flags(submission.files)
            if job.earlier.files:
                paths = {name: folder / f"{name}.py" for name in job.earlier.files}
                again = mark(self.owner, folder, self.seeds, cell, paths)
                made["own_stack"] = {
                    "points": sum(check.points for check in again),
                    "with": sorted({name.partition("/")[0] for name in paths}),
                    "first_divergence": job.earlier.first_wrong,
                }
        return made


@cache
def _bench(terms: Terms) -> _Bench:
    return _Bench(terms)


def grade_one(job: Job, terms: Terms) -> dict[str, Any]:
    """Grade one submission in this process.

    Raises:
        WorkerFailed, OSError: if this machine is at fault.
        NoSandbox: if there is none, and ``terms`` trust nobody.
    """
    with variant(terms.variant):
        return _bench(terms).grade(job)


def grade(
    submissions: Sequence[Submission],
    terms: Terms,
    out: Path,
    executor: Callable[[], Executor],
    tell: Callable[[str], None] = lambda line: None,
    earlier: Mapping[str, Earlier] | None = None,
) -> Batch:
    """Grade all submissions that have no result in ``out`` yet.

    Args:
        earlier: what the students have handed in before: a second run with it is reported beside the grade.
        executor: makes what runs the jobs; it is asked for another one where one breaks.
        tell: is given a line for each submission.
    """
    batch = Batch()
    with variant(terms.variant):
        owner = homework(terms.homework)
        define(terms.root / owner.tests)
        seeds = Seeds(public_seed(), terms.hidden_seed)
        guards = {guard.submission.student: guard for guard in sentinels(owner)}
        sandbox, before = find_sandbox(terms.trust).name, earlier or {}
        jobs: list[Job] = []
        for submission in submissions:
            own = before.get(submission.student, Earlier())
            others = [sandbox, records.digest(own.files), str(own.first_wrong)]
            jobs.append(Job(submission, records.key(submission, owner, seeds, others), own))
    for student, result, why in _run([Job(guard.submission) for guard in guards.values()], terms, executor):
        fault = guards[student].fault(result) if result else why
        if fault and not batch.void:
            batch.void = f"{student}: {fault}"
    if batch.void:
        return batch
    tell(f"{len(guards)} sentinels, all graded as they must be")
    files = {job.submission.student: records.path(out, job.submission, job.key) for job in jobs}
    batch.graded = {student: file.relative_to(out).as_posix() for student, file in files.items()}
    left = [job for job in jobs if records.read(files[job.submission.student], job.key) is None]
    tell(f"{len(jobs)} submissions, {len(jobs) - len(left)} of them graded before")
    for number, (student, result, why) in enumerate(_run(left, terms, executor), 1):
        if result is None:
            batch.infrastructure[student] = why
            told = f"not graded: {why}"
            del batch.graded[student]
        else:
            records.write(files[student], result)
            told = f"{result['points']}/{result['max_points']}"
        tell(f"{student}: {told} ({number} of {len(left)})")
    return batch


Outcome = tuple[str, dict[str, Any] | None, str]  # student; result, or why there is none


def _run(jobs: Sequence[Job], terms: Terms, executor: Callable[[], Executor]) -> Iterator[Outcome]:
    """Run jobs, each up to ``ATTEMPTS`` times, the last time alone: what this machine is to blame for may be over."""
    for attempt in range(1, ATTEMPTS + 1):
        failed = []
        for group in [[job] for job in jobs] if attempt == ATTEMPTS else [jobs]:
            for job, result, why in _run_once(group, terms, executor):
                if result is None and attempt < ATTEMPTS:
                    failed.append(job)
                else:
                    yield job.submission.student, result, why
        jobs = failed


def _run_once(
    jobs: Sequence[Job], terms: Terms, executor: Callable[[], Executor]
) -> Iterator[tuple[Job, dict[str, Any] | None, str]]:
    if not jobs:
        return
    with executor() as pool:
        try:
            futures: dict[Future[dict[str, Any]], Job] = {pool.submit(grade_one, job, terms): job for job in jobs}
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


__all__ = ["Batch", "Earlier", "Job", "Terms", "dask", "grade", "grade_one", "local"]
