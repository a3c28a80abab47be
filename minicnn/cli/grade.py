"""``minicnn grade``, for instructors: a class's submissions, graded in a sandbox, and what is given back."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._arguments import whole
from ._errors import UsageError, misuse

if TYPE_CHECKING:
    from ..course.grading.batch import Batch, Earlier
    from ..course.grading.roster import Roster
    from ..course.grading.submissions import Submission
    from ..course.returning.grades import Grades

HELP = "grade a class's submissions in a sandbox; export the grades, report on them"
USAGE = """minicnn grade SUBMISSIONS --homework HW --out GRADES [--roster CSV] [--case-seed SECRET] [-j N]
       minicnn grade export GRADES --for FORMAT --out PATH [--late TOML] [--rubric CSV] [--template CSV]
       minicnn grade export GRADES --feedback --out DIR
       minicnn grade rubric GRADES --out CSV
       minicnn grade report GRADES --out HTML [--earlier GRADES]"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs and their arguments."""
    from ..course.returning.formats import FORMATS

    parser.usage = USAGE
    parser.add_argument("words", nargs="+", metavar="PATH", help="what was handed in: a folder, a zip, a file")
    parser.add_argument("--homework", metavar="HW", help="which homework, e.g. hw4")
    parser.add_argument("--out", required=True, metavar="PATH", help="where to write")
    parser.add_argument("--roster", metavar="CSV", help="the class: who is who, and who is missing")
    parser.add_argument("--extensions", metavar="FILE", help="who has how much more time, CSV or TOML")
    parser.add_argument("--case-seed", metavar="SECRET", help="draw hidden cases besides; @FILE reads the secret")
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
    if verb not in VERBS or not rest:
        rest, verb = args.words, "grade"
    if len(rest) != 1:
        raise UsageError(f"expected one path, got {', '.join(rest)}")
    return VERBS[verb](Path(rest[0]), args)


def _grade(path: Path, args: argparse.Namespace) -> int:
    from ..course.build import course_root
    from ..course.edition import EDITION
    from ..course.grading import batch, records
    from ..course.grading.submissions import collect
    from ..course.manifest import homework, variant

    with misuse():
        if EDITION:
            raise UsageError("grading needs the reference, which a student's edition does not have")
        if not args.homework:
            raise UsageError("which homework? For example --homework hw4")
        variant_name = args.variant or ""
        terms = batch.Terms(course_root(), args.homework, variant_name, _secret(args.case_seed), args.trust_submissions)
        roster = _roster(args)
        with variant(variant_name):
            owner = homework(args.homework)
            found = collect(path, owner, roster)
        earlier = _earlier([Path(each) for each in args.own or ()], args.homework)
        sandbox = _sandbox(args.trust_submissions)
        executor = batch.dask(args.dask) if args.dask else batch.local(args.jobs or os.cpu_count() or 1)
    out = Path(args.out)
    graded = [each for each in found if not each.refused]
    for submission in graded:
        records.keep(out, submission)
    print(f"{owner.id}: {len(graded)} submissions to grade, {len(found) - len(graded)} refused; sandbox: {sandbox}")
    made = batch.grade(graded, terms, out, executor, lambda line: print(line, flush=True), earlier)
    content = _content(made, found, owner, terms.hidden_seed is not None, sandbox, roster)
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
    made: Batch, found: Sequence[Submission], owner: Any, hidden: bool, sandbox: str, roster: Roster | None
) -> dict[str, Any]:
    from ..course.grading.records import BATCH
    from ..course.manifest import POINTS, public_seed

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
        "case_seeds": {"public": public_seed(), "hidden": hidden},
        "void": made.void,
        "graded": made.graded,
        "refused": refused,
        "infrastructure": [{"student": student, "why": why} for student, why in made.infrastructure.items()],
        "missing": roster.missing(each.student for each in found) if roster else [],
    }


def _tell(content: Mapping[str, Any], out: Path) -> int:
    """What came of it; the exit status."""
    if content["void"]:
        print(f"minicnn: error: this batch is void, the grader is wrong: {content['void']}", file=sys.stderr)
        return 1
    for each in content["refused"]:
        print(f"for a person: {each['student']} ({each['source']}): {each['why']}")
    for each in content["infrastructure"]:
        print(f"not graded: {each['student']}: {each['why']}")
    if content["missing"]:
        print(f"handed in nothing: {', '.join(content['missing'])}")
    print(f"{len(content['graded'])} graded, {out / 'batch.json'} lists them")
    return 1 if content["infrastructure"] else 0


def _sandbox(trust: bool) -> str:
    from ..course.grading.sandbox import NoSandbox, find_sandbox

    try:
        return find_sandbox(trust).name
    except NoSandbox as error:
        raise UsageError(f"{error}\nInstall bubblewrap, or say --trust-submissions if you know what you run") from error


def _secret(text: str | None) -> int | None:
    """The seed of the hidden cases: 62 bits that the secret gives."""
    if text is None:
        return None
    if text.startswith("@"):
        text = Path(text[1:]).read_text(encoding="utf-8").strip()
        if not text:
            raise UsageError("--case-seed: the file with the secret is empty")
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 2


def _roster(args: argparse.Namespace) -> Roster | None:
    from ..course.grading.roster import Roster

    if not args.roster:
        return None
    roster = Roster.read(Path(args.roster))
    for problem in roster.problems:
        print(f"{args.roster}: {problem}", file=sys.stderr)
    return roster.with_extensions(Path(args.extensions)) if args.extensions else roster


def _export(path: Path, args: argparse.Namespace) -> int:
    from ..course.build import course_root
    from ..course.grading.roster import LatePolicy
    from ..course.manifest import homework
    from ..course.returning import feedback, rubric
    from ..course.returning.formats import Options, export
    from ..course.returning.grades import read, with_lateness

    with misuse():
        if bool(args.format) == args.feedback:
            raise UsageError("export what? --for FORMAT, or --feedback")
        grades = read(path)
        if args.late:
            roster = _roster(args)
            extensions = {each.id: each.extension for each in roster.students} if roster else {}
            policy = LatePolicy.read(Path(args.late), grades.homework)
            grades = with_lateness(grades, policy, extensions)
        if args.rubric:
            grades = rubric.merge(grades, rubric.read(args.rubric))
        if args.feedback:
            course_root()  # the pages name the handouts in it
            written = feedback.write(grades, homework(grades.homework), args.out)
            print(f"{args.out}: {len(written)} pages")
            return 0
        options = Options(Path(args.template) if args.template else None, args.assignment or "", args.create)
        done = export(grades, args.format, args.out, options)
    print(*done.notes, f"{args.out}: {len(done.files)} files written", sep="\n")
    return 0


def _rubric(path: Path, args: argparse.Namespace) -> int:
    from ..course.build import course_root
    from ..course.manifest import homework
    from ..course.returning import rubric

    with misuse():
        grades = _read(path)
        students = {result.student: result.name for result in grades.results}
        made = rubric.sheet(homework(grades.homework), students, args.out, course_root())
    print(f"{made}: a sheet for {len(students)} students")
    return 0


def _report(path: Path, args: argparse.Namespace) -> int:
    from ..course.manifest import homework
    from ..course.returning import report, similarity

    with misuse():
        grades = _read(path)
        owner = homework(grades.homework)
        earlier = _texts(Path(args.earlier)) if args.earlier else {}
        pairs = similarity.pairs(owner, _texts(path), earlier)
        made = report.write(grades, owner, args.out, pairs)
    print(f"{made}: {len(grades.results)} grades, {len(pairs)} near-identical pairs")
    return 0


def _read(path: Path) -> Grades:
    from ..course.returning.grades import read

    return read(path)


def _texts(grades: Path) -> dict[str, dict[str, str]]:
    """What was handed in, by student and file."""
    folder = grades / "submissions"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: expected what `minicnn grade` keeps of the submissions")
    return {
        student.name: {file.name: file.read_text(encoding="utf-8", errors="replace") for file in student.glob("*.py")}
        for student in sorted(folder.iterdir())
        if student.is_dir()
    }


VERBS: dict[str, Callable[[Path, argparse.Namespace], int]] = {
    "grade": _grade,
    "export": _export,
    "rubric": _rubric,
    "report": _report,
}
