"""``minicnn grade``, for instructors: a class's submissions, graded in a sandbox, and what is given back."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..terminal import fill, painter
from ._arguments import secret, whole
from ._errors import Stopped, UsageError, complain, misuse

if TYPE_CHECKING:
    from ..course.grading.batch import Batch, Earlier, Terms
    from ..course.grading.roster import Roster
    from ..course.grading.submissions import Submission
    from ..course.manifest import Homework
    from ..course.returning.grades import Grades

HELP = "grade a class's submissions in a sandbox; export the grades, report on them"
USAGE = """minicnn grade collect SUBMISSIONS --homework HW [--roster CSV]
       minicnn grade SUBMISSIONS --homework HW --out GRADES [--roster CSV]
                                 [--case-seed @FILE] [-j N]
       minicnn grade rubric GRADES --out CSV
       minicnn grade report GRADES --out HTML [--earlier GRADES]
       minicnn grade export GRADES --for FORMAT --out PATH
                                   [--late TOML] [--rubric CSV] [--template CSV]
       minicnn grade export GRADES --feedback --out DIR
                                   [--late TOML] [--rubric CSV]"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs and their arguments."""
    from ..course.returning.formats import FORMATS

    parser.usage = USAGE
    parser.add_argument("words", nargs="+", metavar="PATH", help="what was handed in: a folder, a zip, a file")
    parser.add_argument("--homework", metavar="HW", help="which homework, e.g. hw4")
    parser.add_argument("--out", metavar="PATH", help="where to write")
    parser.add_argument("--roster", metavar="CSV", help="the class: who is who, and who is missing")
    parser.add_argument("--extensions", metavar="FILE", help="export: who has how much more time, CSV or TOML")
    parser.add_argument(
        "--case-seed", type=secret, metavar="SECRET", help="draw hidden cases, too; @FILE has the secret"
    )
    parser.add_argument("--variant", metavar="NAME", help="this term's name, as in `minicnn course release`")
    parser.add_argument("-j", "--jobs", type=whole(1), metavar="N", help="processes (default: as many as cores)")
    parser.add_argument("--own", action="append", metavar="GRADES", help="report a run with this earlier homework, too")
    parser.add_argument("--dask", metavar="ADDRESS", help="grade on the workers of this Dask scheduler")
    parser.add_argument("--trust-submissions", action="store_true", help="grade without a sandbox where there is none")
    parser.add_argument("--for", dest="format", choices=sorted(FORMATS), metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--feedback", action="store_true", help="export: a page for each student, Markdown and HTML")
    parser.add_argument("--late", metavar="TOML", help="export: what lateness costs")
    parser.add_argument("--rubric", metavar="CSV", help="export: the marks of the written questions, filled in")
    parser.add_argument("--template", metavar="CSV", help="export: the platform's own table, to be filled")
    parser.add_argument("--assignment", metavar="NAME", help="export: what the platform calls the homework")
    parser.add_argument("--create", action="store_true", help="export: let the platform make the assignment")
    parser.add_argument("--earlier", metavar="GRADES", help="report: compare with what was handed in last year")


def run(args: argparse.Namespace) -> int:
    """Do what the first word says: the name of a verb, or what was handed in."""
    verb, *rest = args.words
    if verb in VERBS and not rest and not Path(verb).exists():
        raise UsageError(f"`minicnn grade {verb}` of what? It needs a path")
    if verb not in VERBS or not rest:
        rest, verb = args.words, "grade"
    if len(rest) != 1:
        raise UsageError(f"expected one path, got {', '.join(rest)}")
    what, options = VERBS[verb]
    given = {name for name, value in vars(args).items() if name in OPTIONS and value not in (None, False)}
    if strange := sorted(given - options.keys()):
        raise UsageError(
            f"{_option(strange[0])} does not go with `minicnn grade{'' if verb == 'grade' else f' {verb}'}`"
        )
    if missing := [name for name, needed in options.items() if needed and name not in given]:
        raise UsageError(f"{_option(missing[0])} is missing, {OPTIONS[missing[0]]}")
    return what(Path(rest[0]), args)


def _collect(path: Path, args: argparse.Namespace) -> int:
    """What would be graded, and what a person has to look at; grades nothing."""
    with misuse():
        roster = _roster(args)
        owner, found = _found(path, args, roster)
    paint = painter()
    for each in found:
        said = f"REFUSED: {each.refused}" if each.refused else ", ".join(sorted(each.files))
        print(fill(f"{each.student}: {said}").replace("REFUSED:", paint("REFUSED:", "red")))
        for note in () if each.refused else each.notes:
            print(fill(note, "    "))
    count = sum(bool(each.refused) for each in found)
    print(f"{owner.id}: {len(found) - count} submissions to grade, {count} refused")
    if roster and (missing := roster.missing(each.student for each in found)):
        print(fill(f"handed in nothing: {', '.join(missing)}"))
    return 0


def _found(path: Path, args: argparse.Namespace, roster: Roster | None) -> tuple[Homework, list[Submission]]:
    from ..course.edition import EDITION
    from ..course.grading.submissions import collect
    from ..course.manifest import check_variant, homework, variant

    check_variant(args.variant or "")
    if EDITION:
        raise UsageError("grading needs the reference, which a student's edition does not have")
    with variant(args.variant or ""):
        owner = homework(args.homework)
        found = collect(path, owner, roster)
    if not found:
        raise UsageError(f"{path}: there is no submission in it")
    return owner, found


def _grade(path: Path, args: argparse.Namespace) -> int:
    from ..course.build import course_root
    from ..course.grading import batch, records

    out = Path(args.out)
    with misuse():
        roster = _roster(args)
        owner, found = _found(path, args, roster)
        if path.resolve() in (out.resolve(), *out.resolve().parents):
            raise UsageError(f"--out {out} lies in {path}: the grades would be taken for submissions")
        graded = [each for each in found if not each.refused]
        if not graded:
            first = f"{found[0].source}: {found[0].refused}"
            raise UsageError(f"none of {len(found)} submissions can be graded as {owner.id}; the first is {first}")
        hidden = _seed(args.case_seed) if args.case_seed else None
        _same_terms(out, owner.id, args.variant or "", hidden is not None)
        terms = batch.Terms(course_root(), owner.id, args.variant or "", hidden, args.trust_submissions)
        earlier = _earlier([Path(each) for each in args.own or ()], owner.id)
        sandbox = _sandbox(args.trust_submissions)
        with misuse(errors=(ImportError,)):
            executor = batch.dask(args.dask) if args.dask else batch.local(args.jobs or os.cpu_count() or 1)
    for submission in graded:
        records.keep(out, submission)
    told = f"{owner.id}: {len(graded)} submissions to grade, {len(found) - len(graded)} refused"
    print(fill(f"{told}; sandbox: {sandbox}"))
    try:
        made = batch.grade(graded, terms, out, executor, lambda line: print(fill(line), flush=True), earlier)
    except KeyboardInterrupt:
        raise Stopped("stopped; the same command goes on where it was") from None
    content = _content(made, found, owner, terms, sandbox, roster)
    records.write(out / "batch.json", content)
    return _tell(content, out)


def _earlier(folders: Sequence[Path], homework: str) -> dict[str, Earlier]:
    """What students have handed in before, by the grades of those homework."""
    from ..course.grading.batch import Earlier
    from ..course.manifest import homework as find
    from ..course.returning.grades import PASS, read

    files: dict[str, dict[str, bytes]] = {}
    wrong: dict[str, str] = {}
    for folder in sorted(folders, key=lambda each: read(each).homework):
        grades = read(folder)
        if grades.homework >= homework:
            raise UsageError(f"--own: expected grades of a homework before {homework}, got {grades.homework}: {folder}")
        for result in grades.results:
            for stem in find(grades.homework).modules:
                path = folder / "submissions" / result.student / f"{stem}.py"
                if path.is_file():
                    files.setdefault(result.student, {})[f"{grades.homework}/{stem}"] = path.read_bytes()
            for task in result.tasks:
                if task.state != PASS:
                    wrong.setdefault(result.student, task.id)
    return {student: Earlier(found, wrong.get(student)) for student, found in files.items()}


def _content(
    made: Batch, found: Sequence[Submission], owner: Homework, terms: Terms, sandbox: str, roster: Roster | None
) -> dict[str, Any]:
    from ..course.grading.records import BATCH
    from ..course.manifest import POINTS, public_seed, variant

    with variant(terms.variant):
        seeds = {"public": public_seed(), "hidden": terms.hidden_seed is not None}
    refused = [
        {"student": each.student, "name": each.name, "ids": dict(each.ids), "source": each.source, "why": each.refused}
        for each in found
        if each.refused
    ]
    return {
        "schema": BATCH,
        "homework": owner.id,
        "title": owner.title,
        "max_points": POINTS,
        "sandbox": sandbox,
        "variant": terms.variant,
        "case_seeds": seeds,
        "void": made.void,
        "graded": made.graded,
        "refused": refused,
        "infrastructure": [{"student": student, "why": why} for student, why in made.infrastructure.items()],
        "missing": roster.missing(each.student for each in found) if roster else [],
    }


def _tell(content: Mapping[str, Any], out: Path) -> int:
    """What came of it; the exit status."""
    if content["void"]:
        complain(f"error: this batch is void, the grader is wrong: {content['void']}")
        return 1
    paint = painter()
    for each in content["refused"]:
        told = fill(f"for a person: {each['student']} ({each['source']}): {each['why']}")
        print(told.replace("for a person:", paint("for a person:", "yellow"), 1))
    for each in content["infrastructure"]:
        told = fill(f"not graded: {each['student']}: {each['why']}")
        print(told.replace("not graded:", paint("not graded:", "red"), 1))
    if content["missing"]:
        print(fill(f"handed in nothing: {', '.join(content['missing'])}"))
    print(fill(f"{len(content['graded'])} graded, {out / 'batch.json'} lists them"))
    return 1 if content["infrastructure"] else 0


def _same_terms(out: Path, name: str, variant: str, hidden: bool) -> None:
    """Refuse a folder with grades of another homework, and say where a regrade is on other terms."""
    from ..course.returning.grades import read

    if not (out / "batch.json").exists():
        return
    before = read(out)
    if before.homework != name:
        raise UsageError(f"--out {out} holds the grades of {before.homework}: choose another folder for {name}")
    if before.variant != variant:
        told = f"{out} was graded as variant {before.variant!r} before, and is now as {variant!r}"
        print(fill(told), file=sys.stderr)
    if before.hidden != hidden:
        how = ("without", "with")[before.hidden], ("without", "with")[hidden]
        print(fill(f"{out} was graded {how[0]} hidden cases before, and is now {how[1]} them"), file=sys.stderr)


def _sandbox(trust: bool) -> str:
    from ..course.grading.sandbox import NoSandbox, find_sandbox

    try:
        return find_sandbox(trust).name
    except NoSandbox as error:
        print(fill(str(error)), file=sys.stderr)
        raise UsageError("install bubblewrap, or say --trust-submissions if you know what you run") from error


def _seed(text: str) -> int:
    """The seed of the hidden cases: 62 bits that the secret gives."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 2


def _roster(args: argparse.Namespace) -> Roster | None:
    from ..course.grading.roster import Roster

    if not args.roster:
        if args.extensions:
            raise UsageError("--extensions needs --roster, which says who is who")
        return None
    roster = Roster.read(Path(args.roster))
    for problem in roster.problems:
        print(fill(f"{args.roster}: {problem}"), file=sys.stderr)
    return roster.with_extensions(Path(args.extensions)) if args.extensions else roster


def _export(path: Path, args: argparse.Namespace) -> int:
    from ..course.build import course_root
    from ..course.grading.roster import LatePolicy
    from ..course.manifest import homework, variant
    from ..course.returning import feedback, rubric
    from ..course.returning.formats import Options, export
    from ..course.returning.grades import read, with_lateness

    with misuse():
        if bool(args.format) == args.feedback:
            raise UsageError("export what? --for FORMAT, or --feedback")
        if args.roster and not args.late:
            raise UsageError("--roster and --extensions go with --late")
        grades = read(path)
        if args.late:
            roster = _roster(args)
            extensions = {each.id: each.extension for each in roster.students} if roster else {}
            policy = LatePolicy.read(Path(args.late), grades.homework)
            grades = with_lateness(grades, policy, extensions)
            if unknown := [each.student for each in grades.results if not each.submitted_at]:
                print(fill(f"handed in at an unknown time, which costs nothing: {', '.join(unknown)}"))
        if args.rubric:
            grades = rubric.merge(grades, rubric.read(args.rubric))
        if args.feedback:
            course_root()  # the pages name the handouts in it
            with variant(grades.variant):
                written = feedback.write(grades, homework(grades.homework), args.out)
            if grades.ungraded:
                names = ", ".join(f"{each.student} ({each.state})" for each in grades.ungraded)
                print(fill(f"without a page: {names}"))
            print(fill(f"{args.out}: {len(written)} pages"))
            return 0
        options = Options(Path(args.template) if args.template else None, args.assignment or "", args.create)
        done = export(grades, args.format, args.out, options)
    number = len(done.files)
    print(*map(fill, (*done.notes, f"{args.out}: {number} file{'s' * (number != 1)} written")), sep="\n")
    return 0


def _rubric(path: Path, args: argparse.Namespace) -> int:
    from ..course.build import course_root
    from ..course.manifest import homework
    from ..course.returning import rubric

    if Path(args.out).exists():
        raise UsageError(f"{args.out} is there already, and may hold marks: choose another name, or remove it")
    with misuse():
        grades = _read(path)
        students = {result.student: result.name for result in grades.results}
        made = rubric.sheet(homework(grades.homework), students, args.out, course_root())
    print(fill(f"{made}: a sheet for {len(students)} students"))
    return 0


def _report(path: Path, args: argparse.Namespace) -> int:
    from ..course.manifest import homework, variant
    from ..course.returning import report, similarity

    with misuse():
        grades = _read(path)
        earlier = _texts(Path(args.earlier)) if args.earlier else {}
        with variant(grades.variant):
            owner = homework(grades.homework)
            pairs = similarity.pairs(owner, _texts(path), earlier)
            made = report.write(grades, owner, args.out, pairs)
    print(fill(f"{made}: {len(grades.results)} grades, {len(pairs)} near-identical pairs"))
    return 0


def _read(path: Path) -> Grades:
    from ..course.returning.grades import read

    return read(path)


def _texts(grades: Path) -> dict[str, dict[str, str]]:
    """What was graded, by student and file."""
    folders = {result.student: grades / "submissions" / result.student for result in _read(grades).results}
    return {
        student: {file.name: file.read_text(encoding="utf-8", errors="replace") for file in folder.glob("*.py")}
        for student, folder in folders.items()
    }


def _option(name: str) -> str:
    return "--for" if name == "format" else f"--{name.replace('_', '-')}"


OPTIONS = {  # and what each is, for those that a verb cannot do without
    "homework": "e.g. --homework hw4",
    "out": "where to write",
    **dict.fromkeys(
        (
            "roster",
            "extensions",
            "case_seed",
            "variant",
            "jobs",
            "own",
            "dask",
            "trust_submissions",
            "format",
            "feedback",
        )
        + ("late", "rubric", "template", "assignment", "create", "earlier"),
        "",
    ),
}
# What each verb takes, and whether it needs it.
_COLLECT = {"homework": True, "roster": False, "variant": False}
_GRADE = {"out": True, **dict.fromkeys(("case_seed", "jobs", "own", "dask", "trust_submissions"), False)}
_EXPORT = ("format", "feedback", "late", "rubric", "template", "assignment", "create", "roster", "extensions")
VERBS: dict[str, tuple[Callable[[Path, argparse.Namespace], int], dict[str, bool]]] = {
    "collect": (_collect, _COLLECT),
    "grade": (_grade, {**_COLLECT, **_GRADE}),
    "rubric": (_rubric, {"out": True}),
    "report": (_report, {"out": True, "earlier": False}),
    "export": (_export, {"out": True, **dict.fromkeys(_EXPORT, False)}),
}
