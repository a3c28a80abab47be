"""``--mine hw2,hw4``: run a command with a student's own modules in place of minicnn's."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from ._errors import UsageError, misuse

HELP = "use your own code from assignments/ for these homework, e.g. hw2,hw4"


def run_with(names: str, argv: Sequence[str]) -> int:
    """Run the command line ``argv``, less its ``--mine``, with the finished files of the homework in ``names``.

    minicnn is imported anew, from the ground up, so that everything in it uses them.
    """
    from ..course.build import course_root
    from ..course.manifest import homework
    from ..course.mine import explain_import, import_all, install, substitutes, uninstall

    with misuse():
        chosen = [homework(name.strip()) for name in names.split(",")]
        files, unfinished = substitutes(course_root(), chosen)
    if "--quiet" not in argv:
        for module, path in files.items():
            print(f"yours: {module} from {path.parent.name}/{path.name}", file=sys.stderr)
        for line in unfinished:
            print(f"not yours: {line}", file=sys.stderr)
    finder = install(files)
    try:
        import_all(files)
        deferral, cpu, cli = map(importlib.import_module, ("minicnn.deferral", "minicnn.backend.cpu", "minicnn.cli"))
        with deferral.no_deferral(), cpu.plain():  # fused and compiled code would go around your functions
            return cli.main(without_option(argv, "--mine"))
    except ImportError as error:
        failure = error
    finally:
        uninstall(finder)
    if explanation := explain_import(failure, files):
        raise UsageError(explanation) from failure
    raise failure


def without_option(argv: Sequence[str], option: str) -> list[str]:
    """``argv`` without ``option VALUE`` and ``option=VALUE``."""
    kept, skip = [], False
    for argument in argv:
        if skip:
            skip = False
        elif argument == option:
            skip = True
        elif not argument.startswith(f"{option}="):
            kept.append(argument)
    return kept
