"""``--mine hw2,hw4``: run a command with a student's own modules in place of minicnn's."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from ..course.edition import EDITION
from ..terminal import fill
from . import _ranks
from ._errors import UsageError, misuse


def add_argument(parser: argparse.ArgumentParser) -> None:
    """The option, for a command that also has ``--quiet``."""
    parser.add_argument(
        "--mine",
        metavar="HW,...",
        action="append",
        default=_own(),
        help="use your own code from assignments/ for these homework, e.g. hw2,hw4",
    )


def _own() -> list[str] | None:
    """In a student's edition, what is in ``assignments``: the homework of the edition, and earlier ones put there."""
    if not EDITION:
        return None
    from ..course.build import course_root
    from ..course.manifest import all_homework

    with suppress(FileNotFoundError):
        assignments = course_root() / "assignments"
        return [owner.id for owner in all_homework() if (assignments / owner.folder).is_dir()]
    return [EDITION.homework]


def run_with(args: argparse.Namespace, argv: Sequence[str]) -> int:
    """Run the command line ``argv`` with the finished files of the homework in ``args.mine``.

    All of minicnn is imported again, so that everything in it uses them.
    """
    _ranks.require_alone("--mine")
    from ..course.build import course_root
    from ..course.manifest import homework
    from ..course.mine import explain_import, import_all, install, substitutes, uninstall
    from ..course.witness import Witness

    with misuse():
        names = dict.fromkeys(name.strip() for name in ",".join(args.mine).split(","))
        files, unfinished = substitutes(course_root(), [homework(name) for name in names])
    tell = (lambda line: None) if args.quiet else (lambda line: print(fill(line), file=sys.stderr))
    for module, file in files.items():
        tell(f"yours: {module} from {file.path.parent.name}/{file.path.name}")
    for line in unfinished:
        tell(f"not yours: {line}")
    witness = Witness([file.path.parent for file in files.values()])
    finder = install(files, witness)
    try:
        import_all(files)
        with ExitStack() as stack:
            # Compiled primitives would not call the student's versions of the reference's.
            if any(name.startswith("minicnn.backend.reference.") for name in files):
                with suppress(ModuleNotFoundError):  # a student's edition may have none
                    stack.enter_context(importlib.import_module("minicnn.backend.cpu").plain())
            status = importlib.import_module("minicnn.cli").main(argv, witness)
        if status == 0:
            tell(witness.summary())
        return status
    except (Exception, SystemExit) as error:
        failure = error
    finally:
        uninstall(finder)
    explanation = isinstance(failure, ImportError) and explain_import(failure, files) or witness.explain(failure)
    if explanation:
        raise UsageError(explanation) from failure
    raise failure
