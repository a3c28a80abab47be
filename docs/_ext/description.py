"""What a search engine or a link's preview says of a page: its first paragraph, as ``<meta>``."""

from __future__ import annotations

from html import escape
from textwrap import shorten
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

LONGEST = 200  # characters; previews show no more


def description(doctree: nodes.document) -> str:
    """The first paragraph of a page's own text as one line, empty for a page that has none."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            return shorten(paragraph.astext(), LONGEST, placeholder=" ...")
    return ""


def _describe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    if doctree is not None and (text := description(doctree)):
        title = doctree.next_node(nodes.title)
        context["metatags"] = context.get("metatags", "") + (
            f'<meta name="description" property="og:description" content="{escape(text)}">\n'
            f'<meta property="og:title" content="{escape(title.astext() if title else page)}">\n'
        )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("html-page-context", _describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
