"""Pages with runnable Python as notebooks: ``python docs/_ext/notebooks.py DIR`` writes them, the site offers them.

Each ``python`` block of a page is a cell, and the ``text`` block after it is that cell's output, which the tests
compare with what it prints. Pictures come along inside the notebook; links to files become their names.
"""

from __future__ import annotations

import base64
import mimetypes
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```$(?:\n+^```text\n(?P<output>.*?)^```$)?", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(r"!\[(?P<text>[^\]]*)\]\((?P<path>[^)\s]+)\)")
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?!https?:)[^)]*\)")
ROLE = re.compile(r"\{[a-z]+\}`(?P<text>[^`<]+?)(?:\s+<[^>]*>)?`")
FENCE = re.compile(r"^(?:```|:::)\{.*?^(?:```|:::)$\n?", re.DOTALL | re.MULTILINE)  # directives of the site
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def notebook(page: Path) -> nbformat.NotebookNode | None:
    """The notebook of a Markdown page; None for a page without Python."""
    text = page.read_text(encoding="utf-8")
    cells, end = [], 0
    for block in BLOCK.finditer(text):
        cells += _prose(text[end : block.start()], page)
        shown = [] if block["output"] is None else [new_output("stream", name="stdout", text=block["output"])]
        cells.append(new_code_cell(block["code"].rstrip("\n"), outputs=shown))
        end = block.end()
    if not cells:
        return None
    cells += _prose(text[end:], page)
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # not drawn at random: the same page makes the same file
    return new_notebook(cells=cells, metadata=KERNEL)


def _prose(text: str, page: Path) -> list[nbformat.NotebookNode]:
    """A cell of text, if there is any, with its pictures attached."""
    attachments = {}

    def attach(picture: re.Match[str]) -> str:
        name = posixpath.basename(picture["path"])
        kind = mimetypes.guess_type(name)[0] or "image/png"
        data = base64.b64encode((page.parent / picture["path"]).read_bytes()).decode()
        attachments[name] = {kind: data}
        return f"![{picture['text']}](attachment:{name})"

    text = LINK.sub(r"\g<text>", PICTURE.sub(attach, FENCE.sub("", ROLE.sub(r"\g<text>", text)))).strip()
    if not text:
        return []
    cell = new_markdown_cell(text)
    if attachments:
        cell["attachments"] = attachments
    return [cell]


def write(out: Path) -> list[str]:
    """Write the notebooks of all pages into ``out``; the pages' names, without ``.md``."""
    written = []
    for page in sorted(DOCS.rglob("*.md")):
        if (made := notebook(page)) is not None:
            name = page.relative_to(DOCS).with_suffix("").as_posix()
            target = out / f"{name}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(made, target)
            written.append(name)
    return written


# ---- the site ------------------------------------------------------------------------------------------------


def _write(app: Sphinx) -> None:
    app.config.notebook_pages = write(Path(app.outdir) / "notebooks") if app.builder.format == "html" else []


def _offer(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Tell the template ``notebook.html`` where the page's notebook is."""
    if page in app.config.notebook_pages:
        context["notebook"] = posixpath.relpath(f"notebooks/{page}.ipynb", posixpath.dirname(page) or ".")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_config_value("notebook_pages", [], "")
    app.connect("builder-inited", _write)
    app.connect("html-page-context", _offer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    print(*write(Path(sys.argv[1])), sep="\n")
