"""``docs/evening.md``: what it lists is short enough for one evening, complete, and the one place to begin."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import minicnn

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "evening.md"
MOST_LINES = 1500
KNOWN = {  # may be imported besides what is listed
    f"minicnn/{name}.py" for name in ("errors", "devices", "foreign", "short_floats", "backend/copies")
}

LINK = re.compile(r"\[`(minicnn/[\w/]+\.py)(?::([\w.]+))?`\]")


def listed() -> dict[str, list[str]]:
    """The files of the page's table, each with the names to read in it; no names for a whole file."""
    table = re.search(r"^## The list\n(.*?)^## ", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert table
    files: dict[str, list[str]] = {}
    for path, name in LINK.findall(table[1]):
        files.setdefault(path, [])
        if name:
            files[path].append(name)
    return files


LISTED = listed()


# ---- lines of code -------------------------------------------------------------------------------------------


def lines_of_code(path: Path) -> set[int]:
    """The numbers of the lines that hold code: not blank, not a comment, not of a docstring."""
    no_code = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    no_code |= {tokenize.ENCODING, tokenize.ENDMARKER}
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type not in no_code]
    lines = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def definition(tree: ast.AST, name: str) -> ast.stmt:
    """The class, function or assignment called ``name``, with dots for what is inside a class."""
    found = tree
    for part in name.split("."):
        (found,) = (
            node
            for node in found.body
            if getattr(node, "name", None) == part
            or (isinstance(node, ast.Assign) and any(getattr(target, "id", None) == part for target in node.targets))
        )
    return found


def parts_to_read(path: str) -> list[ast.stmt]:
    """The definitions that the page asks to read, or all statements of the module."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return [definition(tree, name) for name in LISTED[path]] or tree.body


def lines_to_read(path: str) -> int:
    wanted = {line for node in parts_to_read(path) for line in range(node.lineno, node.end_lineno + 1)}
    return len(lines_of_code(ROOT / path) & wanted)


def test_it_is_not_more_than_an_evening_can_hold() -> None:
    total = sum(lines_to_read(path) for path in LISTED)
    assert total <= MOST_LINES
    said = re.search(r"about ([\d,]+) lines of code", PAGE.read_text(encoding="utf-8"))
    assert said and int(said[1].replace(",", "")) == round(total, -2), f"{total} lines by now"


def test_lines_are_counted_without_what_is_not_code(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    code = [
        '"""Doc."""',
        "",
        "# why",
        "x = (1,",
        "     2)  # and why",
        "def f():",
        '    """Doc',
        "",
        '    more."""',
        '    return """a',
    ]
    file.write_text("\n".join([*code, 'b"""', ""]))
    assert lines_of_code(file) == {4, 5, 6, 10, 11}


# ---- nothing is missing --------------------------------------------------------------------------------------


def imports(path: str) -> Iterator[tuple[str, str, str]]:
    """(module, imported name, name here) for what a file imports from minicnn when it is loaded."""
    package = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if not path.endswith("/__init__.py"):
        package = package.rpartition(".")[0]
    statements = list(ast.parse((ROOT / path).read_text(encoding="utf-8")).body)
    for node in statements:
        if isinstance(node, (ast.Try, ast.If)) and "TYPE_CHECKING" not in ast.unparse(node).partition("\n")[0]:
            statements += [*node.body, *node.orelse]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            if module.split(".")[0] == "minicnn":
                yield from ((module, alias.name, alias.asname or alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            assert not [alias for alias in node.names if alias.name.startswith("minicnn")], f"{path}: not looked into"


def file_of(module: str) -> str | None:
    path = module.replace(".", "/")
    return next((p for p in (f"{path}.py", f"{path}/__init__.py") if (ROOT / p).is_file()), None)


def home(module: str, name: str) -> str:
    """The file that defines ``name``; what a package's ``__init__`` imports is looked for where that has it from."""
    path = file_of(module)
    assert path, module
    if path.endswith("/__init__.py"):
        for source, original, here in imports(path):
            if here == name and source != module:
                return home(source, original)
        if inner := file_of(f"{module}.{name}"):
            return inner
    return path


def needed(path: str) -> dict[str, str]:
    """The files of minicnn that what is read of ``path`` needs, each with a name that it is needed for."""
    used = {node.id for part in parts_to_read(path) for node in ast.walk(part) if isinstance(node, ast.Name)}
    found = ((home(module, name), name) for module, name, here in imports(path) if not LISTED[path] or here in used)
    return {file: name for file, name in found if file != path}


@pytest.mark.parametrize("path", LISTED)
def test_what_a_listed_file_imports_is_listed(path: str) -> None:
    missing = {file: name for file, name in needed(path).items() if file not in LISTED and file not in KNOWN}
    assert not missing


def test_imports_are_found_where_they_are_defined() -> None:
    """Guards the test above: through a package's ``__init__``, by a relative name, as a module."""
    assert home("minicnn.autograd", "Function") == "minicnn/autograd/function.py"
    assert home("minicnn", "backend") == "minicnn/backend/__init__.py"
    assert home("minicnn.nn", "Conv2d") == "minicnn/nn/conv.py"
    assert needed("minicnn/ops/conv.py").keys() >= {"minicnn/autograd/function.py", "minicnn/ops/geometry.py"}
    assert "minicnn/tensors.py" in needed("minicnn/autograd/function.py")


# ---- the beginning -------------------------------------------------------------------------------------------


def test_stops_are_headings_and_stand_in_their_order() -> None:
    text = PAGE.read_text(encoding="utf-8")
    stops = [int(number) for number in re.findall(r"^## (\d+) ", text, re.MULTILINE)]
    assert stops == [int(number) for number in re.findall(r"^\| \[(\d+)\]\(#", text, re.MULTILINE)]
    assert stops == list(range(1, len(stops) + 1))
    for stop in re.split(r"^## \d+ ", text, flags=re.MULTILINE)[1:]:
        assert "```python" in stop and "*Try*" in stop


def test_it_is_the_beginning_everywhere() -> None:
    assert "docs/evening.md" in minicnn.__doc__
    assert "(docs/evening.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    for page in ("autograd.md", "convolution.md"):
        introduction = (ROOT / "docs" / page).read_text(encoding="utf-8").partition("\n## ")[0]
        assert "(evening.md)" in introduction, page
    assert "```{toctree}\n:hidden:\n\nevening\n" in (ROOT / "docs" / "learn.md").read_text(encoding="utf-8")
