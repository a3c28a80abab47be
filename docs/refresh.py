"""Keep what the documentation derives from the code true: ``python docs/refresh.py`` rewrites it.

* In Markdown a link to code names the file and the symbol, and points at the line where the symbol is defined::

      [`minicnn/models/resnet.py:BasicBlock.forward`](../minicnn/models/resnet.py#L57)

  Only the name is written by hand; the address is derived from it.
* A ``text`` block right after a ``python`` block is what that block prints.

``tests/library/test_docs.py`` fails when a symbol is gone, an example fails, or something is not as it would be written
here. After a refresh, read the difference: it is what the documentation says now.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("docs/**/*.md", "minicnn/backend/cpu/*.md", "benchmarks/*.md", "assignments/**/*.md", "solutions/**/*.md")
FRONT = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "minicnn/data/bundled/README.md")
DOCUMENTS = (*(ROOT / page for page in FRONT), *(page for pattern in PAGES for page in sorted(ROOT.glob(pattern))))

# [`path.py:Symbol.name`](address)
SYMBOL_LINK = re.compile(r"\[`(?P<path>[\w./-]+\.py):(?P<symbol>[\w.]+)`\]\((?P<address>[^)\s]*)\)")


# ---- links ---------------------------------------------------------------------------------------------------


@cache
def _definitions(path: Path) -> dict[str, int]:
    """The line of every class, function and assigned name in a Python file; methods as ``Class.method``."""
    lines: dict[str, int] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            match node:
                case ast.ClassDef(name=name):
                    lines.setdefault(prefix + name, node.lineno)
                    visit(node.body, f"{prefix}{name}.")
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    lines.setdefault(prefix + name, node.lineno)
                case ast.Assign(targets=targets):
                    for target in targets:
                        for leaf in ast.walk(target):
                            if isinstance(leaf, ast.Name):
                                lines.setdefault(prefix + leaf.id, node.lineno)
                case ast.AnnAssign(target=ast.Name(id=name)):
                    lines.setdefault(prefix + name, node.lineno)
                case ast.If() | ast.Try():
                    visit(node.body, prefix)
                    visit(node.orelse, prefix)

    visit(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return lines


def line_of(path: str, symbol: str) -> int:
    """The line on which ``symbol`` is defined in ``path`` (relative to the repository).

    Raises:
        LookupError: when the file is missing or defines no such symbol.
    """
    file = ROOT / path
    if not file.is_file():
        raise LookupError(f"{path} does not exist (wanted for its {symbol})")
    try:
        return _definitions(file)[symbol]
    except KeyError:
        raise LookupError(f"{path} defines no {symbol}") from None


def refresh_links(text: str, document: Path) -> str:
    """``text`` with the address of every symbol link as it should be, relative to ``document``.

    Raises:
        LookupError: naming the line of ``document`` whose target is gone.
    """

    def link(match: re.Match[str]) -> str:
        path, symbol = match["path"], match["symbol"]
        try:
            line = line_of(path, symbol)
        except LookupError as error:
            here = text.count("\n", 0, match.start()) + 1
            raise LookupError(f"{document.relative_to(ROOT)}:{here}: {error}") from None
        address = os.path.relpath(ROOT / path, document.parent).replace(os.sep, "/")
        return f"[`{path}:{symbol}`]({address}#L{line})"

    return SYMBOL_LINK.sub(link, text)


# ---- examples ------------------------------------------------------------------------------------------------


@dataclass
class Block:
    """A fenced block of a Markdown document; ``line`` is the number of its first line of content."""

    language: str
    line: int
    content: list[str]


def fenced_blocks(text: str) -> list[Block]:
    """The fenced blocks in order.

    Raises:
        ValueError: when one is not closed.
    """
    blocks: list[Block] = []
    inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("```"):
            if not inside:
                blocks.append(Block(line.removeprefix("```").strip(), number + 1, []))
            inside = not inside
        elif inside:
            blocks[-1].content.append(line)
    if inside:
        raise ValueError(f"the fenced block at line {blocks[-1].line - 1} is not closed")
    return blocks


def run_examples(text: str, name: str) -> list[str]:
    """Run the Python blocks of a document called ``name`` in order, in one process; what each one printed.

    Raises:
        RuntimeError: when one fails, with its traceback, whose lines are those of the document.
    """
    lines: list[str] = []
    for block in fenced_blocks(text):
        if block.language == "python":
            lines += [""] * (block.line - 1 - len(lines)) + block.content + ["print(end='\\0')"]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, name)
        script.write_text("\n".join(lines), encoding="utf-8")
        result = subprocess.run(
            [sys.executable, script],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"},
            capture_output=True,
            text=True,
        )
    if result.returncode != 0:
        raise RuntimeError(f"an example in {name} fails:\n{result.stderr}")
    return [output.rstrip() for output in result.stdout.split("\0")[:-1]]


def refresh_outputs(text: str, name: str) -> str:
    """``text`` with every ``text`` block that follows a ``python`` block as that block prints it."""
    blocks = fenced_blocks(text)
    python = [number for number, block in enumerate(blocks) if block.language == "python"]
    if not python:
        return text
    lines = text.splitlines()
    for number, output in reversed([*zip(python, run_examples(text, name), strict=True)]):
        shown = blocks[number + 1] if number + 1 < len(blocks) else None
        if shown is not None and shown.language == "text":
            lines[shown.line - 1 : shown.line - 1 + len(shown.content)] = output.splitlines()
    return "\n".join(lines) + "\n"


# ---- both ----------------------------------------------------------------------------------------------------


def main() -> int:
    """Rewrite the documents that are out of date. Exit status 1 when a target is gone or an example fails."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        try:
            fresh = refresh_outputs(refresh_links(text, document), document.name)
        except (LookupError, RuntimeError) as error:
            print(error, file=sys.stderr)
            return 1
        if fresh != text:
            document.write_text(fresh, encoding="utf-8")
            print(f"rewrote {document.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
