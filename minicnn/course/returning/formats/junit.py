"""JUnit: one XML file, a test suite for each student, as Jenkins, GitLab and others read it."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from ..grades import PASS, Grades, Result
from ..guarding import line
from .form import Exported, Format, Options, left_out, shown, write_text

KINDS = {
    "WRONG": "failure",
    "NOT ATTEMPTED": "skipped",
    "BLOCKED": "skipped",
    "NOT RUN": "skipped",
}  # all others: error
COUNTED = {"failures": "failure", "errors": "error", "skipped": "skipped"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def suite(result: Result, number: int, homework: str) -> ElementTree.Element:
    """One student's suite. Points are properties, for JUnit knows passed and failed only."""
    found = ElementTree.Element(
        "testsuite", name=line(result.student), package=homework, id=str(number), hostname="minicnn"
    )
    moment = MOMENT.match(result.submitted_at)
    found.set("timestamp", moment.group() if moment else "1970-01-01T00:00:00")
    found.set("time", f"{result.seconds:.3f}")
    properties = ElementTree.SubElement(found, "properties")
    for name, value in (("points", result.total), ("max_points", result.max_total)):
        ElementTree.SubElement(properties, "property", name=name, value=shown(value))
    for task, check in result.checks:
        case = ElementTree.SubElement(found, "testcase", classname=task.id, name=check.test, time="0")
        if check.state != PASS:
            kind = KINDS.get(check.state, "error")
            outcome = ElementTree.SubElement(case, kind, message=line(f"{check.state}: {check.what}"))
            if kind != "skipped":
                outcome.set("type", check.state)
            outcome.text = check.told
    found.set("tests", str(len(found.findall("testcase"))))
    for name, kind in COUNTED.items():
        found.set(name, str(len(found.findall(f"testcase/{kind}"))))
    ElementTree.SubElement(found, "system-out")
    ElementTree.SubElement(found, "system-err")
    return found


def write(grades: Grades, out: Path, options: Options) -> Exported:
    """Write the file. What students wrote has no characters that XML forbids: ``told`` and ``line`` take them out."""
    root = ElementTree.Element("testsuites")
    root.extend(suite(result, number, grades.homework) for number, result in enumerate(grades.results))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return Exported((write_text(out, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'),), left_out(grades))


FORMAT = Format("junit", "one XML file, a test suite for each student", False, write)
