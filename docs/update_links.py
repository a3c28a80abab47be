"""Keep the line numbers in the documentation true: ``python docs/update_links.py`` rewrites links to symbols.

In Markdown a link to code names the file and the symbol, and points at the line where the symbol is defined::

    [`minicnn/models/resnet.py:BasicBlock.forward`](../minicnn/models/resnet.py#L57)

Only the name is written by hand. The address is derived from it here, and ``tests/library/test_docs.py``
fails when a symbol is gone or an address is not what this script would write.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("benchmarks/*.md")))

# [`path.py:Symbol.name`](address)
SYMBOL_LINK = re.compile(r"\[`(?P<path>[\w./-]+\.py):(?P<symbol>[\w.]+)`\]\((?P<address>[^)\s]*)\)")


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


def refresh(text: str, document: Path) -> str:
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


def main() -> int:
    """Rewrite the documents whose links moved. Exit status 1 when a target is gone."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        try:
            fresh = refresh(text, document)
        except LookupError as error:
            print(error, file=sys.stderr)
            return 1
        if fresh != text:
            document.write_text(fresh, encoding="utf-8")
            print(f"updated {document.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
