"""The repository's files as pages of the site, and the links that lead to them.

In Markdown a link to a file outside ``docs/`` is written as a reader of the repository needs it::

    [`minicnn/models/resnet.py:BasicBlock`](../minicnn/models/resnet.py#L57)

On the site such a link leads to ``code/minicnn/models/resnet.html#L57``, a page with the highlighted file, so that the
site needs neither network nor host. A file that a page includes whole (a homework's handout) is that page; a folder is
a list of its files. ``linkcode`` leads to the same pages from the reference.
"""

from __future__ import annotations

import inspect
import posixpath
import re
import subprocess
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parents[2]
SCHEME = "code:"  # an address inside the repository: code:minicnn/models/resnet.py#L57
ALWAYS = "minicnn"  # this folder has pages for all its files; others for what is linked

LINK = re.compile(r"(?<=\]\()(?P<path>(?![a-z]+:)[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")
INCLUDE = re.compile(r"^```\{include\} +(\S+)", re.MULTILINE)
CODE = re.compile(r"^```.*?^```|(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL | re.MULTILINE)


# ---- from Markdown to an address in the repository -------------------------------------------------------------


def start(app: Sphinx) -> None:
    """Read which page includes which file, and which files there are."""
    env = app.env
    docs = Path(app.srcdir)
    env.code_linked = getattr(env, "code_linked", {})  # page -> the paths to which it links
    env.code_included = {}
    for page in sorted(docs.rglob("*.md")):
        for target in INCLUDE.findall(page.read_text(encoding="utf-8")):
            path = (page.parent / target).resolve().relative_to(ROOT).as_posix()
            env.code_included[path] = page.relative_to(docs).with_suffix("").as_posix()


def rewrite_page(app: Sphinx, docname: str, content: list[str]) -> None:
    """Of a page in ``docs``: let links that leave the folder lead to the repository."""
    content[0] = _rewritten(app, content[0], app.env.doc2path(docname), docname)


def rewrite_included(app: Sphinx, relative_path: Path, parent: str, content: list[str]) -> None:
    """Of a text from elsewhere that a page includes: its links start at its own place."""
    content[0] = _rewritten(app, content[0], Path(app.srcdir) / relative_path, app.env.docname)


def _rewritten(app: Sphinx, text: str, source: Path, docname: str) -> str:
    docs = Path(app.srcdir)

    def address(link: re.Match[str]) -> str:
        target = (source.parent / link["path"]).resolve()
        anchor = link["anchor"] or ""
        if not target.exists() or ROOT not in target.parents:
            return link[0]  # the parser reports it
        path = target.relative_to(ROOT).as_posix()
        page = app.env.code_included.get(path)
        if page is None and docs in target.parents:
            page = target.relative_to(docs).as_posix()
            return posixpath.relpath(page, posixpath.dirname(docname) or ".") + anchor
        if page is not None:
            return posixpath.relpath(page, posixpath.dirname(docname) or ".") + ".md" + anchor
        return f"{SCHEME}{path}{anchor}"

    pieces, end = [], 0
    for code in CODE.finditer(text):  # what stands in code is no link
        pieces += [LINK.sub(address, text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*pieces, LINK.sub(address, text[end:])])


# ---- from an address in the repository to a page ---------------------------------------------------------------


def page_of(path: str) -> str:
    """The page of a file or a folder of the repository, without ``.html``."""
    return f"code/{path}/index" if (ROOT / path).is_dir() else f"code/{path}"


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Let all references into the repository lead to pages, as seen from ``docname``."""
    linked = set()
    for reference in doctree.findall(nodes.reference):
        address = reference.get("refuri", "")
        if address.startswith(SCHEME):
            path, _, anchor = address.removeprefix(SCHEME).partition("#")
            linked.add(path)
            relative = app.builder.get_relative_uri(docname, page_of(path)) if app.builder.format == "html" else path
            reference["refuri"] = relative + (f"#{anchor}" if anchor else "")
            reference["internal"] = True
            reference["classes"] = [name for name in reference["classes"] if name != "external"]
    app.env.code_linked[docname] = linked


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each file and folder that is linked, for all of the package, and for the folders above them."""
    files = _tracked()
    wanted = {path for path in files if path.startswith(f"{ALWAYS}/")}.union(*app.env.code_linked.values())
    folders = {parent for path in wanted for parent in _parents(path)} | {path for path in wanted if path not in files}
    for folder in sorted(folders):
        if folder and not (ROOT / folder).is_dir():
            raise ExtensionError(f"a page links to {folder}, which is no tracked file or folder of the repository")
        inside = {path for path in (*wanted, *folders) if posixpath.dirname(path) == folder and path != folder}
        listed = inside | {path for path in files if posixpath.dirname(path) == folder}
        wanted |= {path for path in listed if path in files}
        yield _page(folder, _listing(folder, sorted(listed, key=lambda path: (path in files, path))))
    for path in sorted(wanted & files):
        yield _page(path, _highlighted(path))


def _tracked() -> set[str]:
    """All text files of the repository, as git has them, or as they lie there where git does not know them."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if found.returncode == 0:
        names = [name for name in found.stdout.split("\0") if name]
    else:
        hidden = {".git", ".venv", "__pycache__", "site"}
        files = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        names = [path.as_posix() for path in files if not hidden.intersection(path.parts)]
    return {name for name in names if (ROOT / name).is_file() and _is_text(ROOT / name)}


def _is_text(path: Path) -> bool:
    with open(path, "rb") as file:
        return b"\0" not in file.read(4096)


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _page(path: str, body: str) -> tuple[str, dict[str, Any], str]:
    """The arguments with which Sphinx writes the page of ``path``: its name, its variables, its template."""
    here = posixpath.dirname(page_of(path))
    links = [
        f'<a href="{posixpath.relpath(page_of(step), here)}.html">{escape(posixpath.basename(step))}</a>'
        for step in reversed([*_parents(path)])
    ]
    title = f'<h1 class="code-path">{" / ".join([*links, escape(posixpath.basename(path))])}</h1>'
    context = {"title": escape(path), "body": title + body, "parents": [], "html_theme.sidebar_secondary.remove": True}
    return page_of(path), context, "page.html"


def _listing(folder: str, paths: list[str]) -> str:
    here = posixpath.dirname(page_of(folder))
    rows = [
        f'<li><a href="{posixpath.relpath(page_of(path), here)}.html">{escape(posixpath.basename(path))}'
        f"{'/' if (ROOT / path).is_dir() else ''}</a></li>"
        for path in paths
    ]
    return f'<ul class="code-folder">{"".join(rows)}</ul>'


def _highlighted(path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8", errors="replace")
    try:
        lexer = get_lexer_for_filename(path, stripnl=False)
    except ClassNotFound:
        lexer = TextLexer(stripnl=False)
    lines = highlight(text, lexer, HtmlFormatter(nowrap=True)).splitlines()
    numbers = "".join(f'<a href="#L{number}">{number}</a>\n' for number in range(1, len(lines) + 1))
    code = "".join(f'<span id="L{number}">{line}\n</span>' for number, line in enumerate(lines, 1))
    return (
        f'<div class="highlight code-file"><pre class="code-lines" aria-label="lines">{numbers}</pre>'
        f'<pre tabindex="0">{code}</pre></div>'
    )


# ---- from the reference to a page ------------------------------------------------------------------------------


def linkcode_resolve(domain: str, info: dict[str, str]) -> str | None:
    """Where the object of the reference is defined; ``linkcode`` asks."""
    found: Any = sys.modules.get(info["module"])
    for name in info["fullname"].split("."):
        found = getattr(found, name, None)
    try:
        found = inspect.unwrap(found.fget if isinstance(found, property) else found)
        path = Path(inspect.getsourcefile(found) or "").resolve().relative_to(ROOT)
        return f"{SCHEME}{path.as_posix()}#L{inspect.getsourcelines(found)[1]}"
    except (TypeError, ValueError, OSError, AttributeError):
        return None  # no Python function or class: there is nothing to show


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", start)
    app.connect("source-read", rewrite_page)
    app.connect("include-read", rewrite_included)
    app.connect("doctree-resolved", resolve)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": False, "parallel_write_safe": False}
