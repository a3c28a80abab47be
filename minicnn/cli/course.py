"""``minicnn course``, for instructors: stubs, the proof of the checks, a student's edition, an autograder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..terminal import Painted, fill, painter, table
from ._arguments import secret
from ._errors import UsageError, misuse

if TYPE_CHECKING:
    from ..course.manifest import Homework
    from ..course.proof import Finding

HELP = "build the assignments, prove their tests, make a student's edition or an autograder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs and their arguments."""
    parser.usage = (
        "minicnn course build [HW ...] [--check]\n"
        "       minicnn course proof [HW ...] [--write | --mutants]\n"
        "       minicnn course release HW --out DIR|ZIP [--variant NAME]\n"
        "       minicnn course autograder HW --for PLATFORM --out ZIP\n"
        "                                    [--case-seed @FILE] [--variant NAME]"
    )
    parser.add_argument("verb", choices=("build", "proof", "release", "autograder"), help="what to do")
    parser.add_argument("homework", nargs="*", metavar="HW", help="e.g. hw4 (default: all)")
    parser.add_argument("--check", action="store_true", help="build: write nothing; fail if something is out of date")
    parser.add_argument("--write", action="store_true", help="proof: write the tables of mistakes into solutions/")
    parser.add_argument("--mutants", action="store_true", help="proof: change the reference systematically instead")
    parser.add_argument(
        "--out", metavar="PATH", help="release: a folder, or a zip, that is not there yet; autograder: a zip"
    )
    parser.add_argument("--variant", metavar="NAME", help="release, autograder: this term's name; it draws other cases")
    parser.add_argument("--for", dest="platform", metavar="PLATFORM", help="autograder: gradescope or github")
    parser.add_argument(
        "--case-seed", type=secret, metavar="SECRET", help="autograder: hidden cases, too; @FILE has the secret"
    )


def run(args: argparse.Namespace) -> int:
    """Do what the verb says."""
    from ..course.build import course_root
    from ..course.edition import EDITION
    from ..course.manifest import check_variant, homework, homework_ids

    with misuse():
        if (args.check and args.verb != "build") or ((args.write or args.mutants) and args.verb != "proof"):
            raise UsageError("--check goes with `course build`, --write and --mutants with `course proof`")
        if EDITION and args.verb != "build":
            raise UsageError(f"`course {args.verb}` needs the reference, which a student's edition does not have")
        gives_out = args.verb in ("release", "autograder")
        if gives_out != (args.out is not None) or (args.variant and not gives_out):
            raise UsageError(
                "--out PATH goes with `course release` and `autograder`, which need it; --variant does, too"
            )
        if (args.verb == "autograder") != (args.platform is not None) or (args.case_seed and args.platform is None):
            raise UsageError("--for PLATFORM goes with `course autograder`, which needs it; --case-seed does, too")
        if gives_out and len(args.homework) != 1:
            raise UsageError(f"which homework? For example `minicnn course {args.verb} hw4 --out hw4.zip`")
        check_variant(args.variant or "")
        root = course_root()
        chosen = [homework(name) for name in args.homework or homework_ids()]
    if args.verb == "release":
        return _release(root, args)
    if args.verb == "autograder":
        return _autograder(root, chosen[0], args)
    if args.mutants:
        return _mutants(root, chosen)
    return _build(root, chosen, args.check) if args.verb == "build" else _proof(root, chosen, args.write)


def _release(root: Path, args: argparse.Namespace) -> int:
    from ..course.release.edition import AnswersLeak, check_free, make, save

    out = Path(args.out)
    with misuse():
        check_free(out)
    print(f"{args.homework[0]}: recording the reference's answers, which takes a minute", flush=True)
    try:
        edition = make(root, args.homework[0], lambda owner: load_checks(root, owner), args.variant or "")
    except AnswersLeak as error:
        print(*(f"leak: {leak}" for leak in error.leaks), sep="\n", file=sys.stderr)
        return 1
    with misuse():
        save(edition, out)
    recorded = sum(len(content) for path, content in edition.files.items() if path.endswith(".xz"))
    size = f"{edition.size / 1e6:.2f} MB, {recorded / 1e3:.0f} kB of recorded answers"
    print(fill(f"{out}: {len(edition.files)} files, {size}"))
    for page in edition.left_out:
        print(fill(f"left out: {page} prints an answer"))
    return 0


def _autograder(root: Path, owner: Homework, args: argparse.Namespace) -> int:
    from ..course.returning.autograder import autograder

    with misuse():
        made = autograder(owner, args.out, args.platform, args.variant or "", args.case_seed or "", root)
    hidden = "with hidden cases" if args.case_seed else "without hidden cases"
    size = f"{made.stat().st_size / 1e6:.2f} MB"
    print(fill(f"{made}: the grader of {owner.id} for {args.platform}, {size}, {hidden}"))
    return 0


def _build(root: Path, chosen: Sequence[Homework], check: bool) -> int:
    from ..course.build import build

    changes = build(root, chosen, check)
    for change in changes:
        if change.what == "edited":
            print(fill(f"{change.path}: has been edited and is kept; the stub of today is in {change.path}.new"))
        else:
            print(fill(f"{change.path}: {change.what}"))
    if not changes:
        print("assignments/ is up to date")
    return 1 if any(change.what != "written" for change in changes) else 0


def _proof(root: Path, chosen: Sequence[Homework], write: bool) -> int:
    from ..course import proof
    from ..course.build import rewrite

    problems = 0
    for owner in chosen:
        load_checks(root, owner)
        stubs = proof.prove_stubs(owner)
        found = proof.all_mistakes(owner)
        cheats = [finding for hole in owner.holes() for finding in proof.prove_cheats(owner, hole)]
        for line in stubs:
            print(fill(line))
        shown = [*found, *(cheat for cheat in cheats if not cheat.caught_by)]
        print(*table([_told(finding) for finding in shown], "<<<<", paint=painter()), sep="\n")
        missed = sum(not finding.caught_by for finding in [*found, *cheats])
        problems += missed + len(stubs)
        named = sum(finding.named for finding in found)
        told = (
            f"{owner.id}: {len(owner.tasks)} tasks, {len(found)} planted mistakes, {named} of them named, "
            f"{len(cheats)} cheats; {missed} not caught"
        )
        print(fill(told))
        if write:
            page = root / "solutions" / owner.folder / "README.md"
            for change in rewrite(page, "mistakes", "\n".join(proof.table(found)), check=False):
                print(f"{change.path}: {change.what}")
    return 1 if problems else 0


def _told(finding: Finding) -> tuple[str, ...]:
    if not finding.caught_by:
        return finding.task, finding.what, Painted("NOT CAUGHT", "red"), ""
    return finding.task, finding.what, "named" if finding.named else "not named", ", ".join(finding.caught_by)


def _mutants(root: Path, chosen: Sequence[Homework]) -> int:
    from tqdm import tqdm

    from ..course import survival
    from ..course.mutation import mutants

    problems = 0
    for owner in chosen:
        load_checks(root, owner)
        every = [mutant for hole in owner.holes() for mutant in mutants(hole)]
        with tqdm(total=len(every), desc=owner.id, disable=not sys.stderr.isatty()) as bar:
            found = survival.survey(owner, every, lambda mutant: bar.update())
        for mutant in found.survivors:
            print(fill(f"{mutant.hole.task}: {mutant.hole}:{mutant.line}: {mutant.key}: SURVIVES"))
        for mutant in found.wrongly_listed:
            where = f"{mutant.hole.task}: {mutant.hole}:{mutant.line}"
            print(fill(f"{where}: {mutant.key}: listed as equivalent, and caught"))
        stale = survival.stale(owner)
        for key in stale:
            print(fill(f"{owner.id}: {key}: listed, and no mutant"))
        told = (
            f"{owner.id}: {len(every)} mutants, {len(found.equivalent)} of them equivalent, {found.killed} killed "
            f"({found.share:.1%} of the mistakes), {len(found.survivors)} survive"
        )
        print(fill(told))
        problems += len(stale) + len(found.wrongly_listed) + (found.share < survival.GOAL)
    return 1 if problems else 0


def load_checks(root: Path, owner: Homework) -> None:
    """Define the checks of a homework: import its test file."""
    from ..course.checks import define

    path = root / owner.tests
    if not path.is_file():
        raise UsageError(f"{owner.id}: there is no {path}")
    define(path)
