"""Look at the built site as its readers do: ``python docs/check_site.py site``.

Every link leads to a page and a place that exist; in headless Chromium no page has a script error, is wider than a
phone of 390 pixels, hides a part of a formula or a name, or breaks a rule of axe-core (contrast, names, keyboard).
What is found is printed, one line each, and the exit status is 1. Without Playwright or Chromium only the links are
checked, which is said.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
# Which of axe-core's rules are read, and that only what breaks them is told.
AXE = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
    "resultTypes": ["violations"],
    "preload": False,
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


# ---- links -----------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The addresses that a page uses, and the places in it to which others can lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.addresses: set[str] = set()
        self.places: set[str] = {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.places |= {values[name] for name in ("id", "name") if name in values}
        self.addresses |= {values[name] for name in ("href", "src") if name in values}


def all_pages(site: Path) -> list[Path]:
    """The pages in order, without the theme's own files."""
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)


def dead_links(site: Path) -> Iterator[str]:
    """A line for each address that leads nowhere, or out to a host without being a page's own text.

    Raises:
        FileNotFoundError: if there is no page in ``site``.
    """
    pages = {path: Page(path) for path in all_pages(site)}
    if not pages:
        raise FileNotFoundError(f"{site} has no page: build it with sphinx-build -W docs {site}")
    for path, page in pages.items():
        for address in sorted(page.addresses):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            found = pages.get(target)
            if not target.is_file():
                yield f"{path.relative_to(site)}: {address} leads to no file"
            elif found is not None and unquote(parts.fragment) not in found.places:
                yield f"{path.relative_to(site)}: {address} leads to no place in that page"


def count_links(site: Path) -> int:
    """How many links ``dead_links`` follows."""
    pages = map(Page, all_pages(site))
    return sum(1 for page in pages for address in page.addresses if not urlsplit(address).scheme)


# ---- in a browser ----------------------------------------------------------------------------------------------


def written_pages(site: Path) -> list[Path]:
    """All pages, but of those that only show a file or a folder the first of each."""
    pages = all_pages(site)
    shown = [path for path in pages if path.relative_to(site).parts[0] == "code"]
    folders, files = ([path for path in shown if (path.name == "index.html") is folder][:1] for folder in (True, False))
    return [path for path in pages if path not in shown] + folders + files


def colors_to_read(pages: list[Path]) -> dict[Path, tuple[str, ...]]:
    """In which colours axe-core reads a page: the shortest of each folder in both, all others in light.

    The generated reference is long and alike: of its pages only the shortest is read.
    """
    shortest = {path.parent: path for path in sorted(pages, key=lambda path: -path.stat().st_size)}
    return {
        path: ("light", "dark") if path == shortest[path.parent] else ("light",)
        for path in pages
        if path == shortest[path.parent] or path.parent.name != "reference"
    }


def seen_in_browser(site: Path, executable: str) -> Iterator[str]:
    """A line for each script error, page wider than a phone, and broken rule of axe-core."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    axe = Axe()
    pages = written_pages(site)
    colors = colors_to_read(pages)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_context(offline=True, reduced_motion="reduce").new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("requestfailed", lambda request: errors.append(f"could not load {request.url}"))
        for path in pages:
            name = path.relative_to(site)
            page.set_viewport_size(PHONE)
            page.goto(path.resolve().as_uri())
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > PHONE["width"]:
                yield f"{name}: {wide} pixels wide on a phone of {PHONE['width']}: {page.evaluate(WIDEST)}"
            for formula in page.query_selector_all(".katex-error"):
                yield f"{name}: no formula: {formula.get_attribute('title')}"
            yield from (f"{name}: out of sight on a phone: {text}" for text in page.evaluate(CUT))
            page.set_viewport_size(DESK)
            for theme in colors.get(path, ()):
                page.evaluate(f"document.documentElement.dataset.theme = {theme!r}")
                for broken in axe.run(page, options=AXE).response["violations"]:
                    yield f"{name} ({theme}): {_told(broken)}"
            yield from (f"{name}: {error}" for error in errors)
            errors.clear()
        browser.close()


# The first element that sticks out.
WIDEST = """[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
    .slice(0, 3).map(e => e.outerHTML.slice(0, 120)).join(' | ')"""

# The formulas that do not begin where their box begins, and the names that end outside the page and do not scroll.
CUT = """[...document.querySelectorAll('div.math > *')].filter(
        e => e.getBoundingClientRect().left < e.parentElement.getBoundingClientRect().left - 1)
    .concat([...document.querySelectorAll('p code, dt.sig > *')].filter(
        e => e.getBoundingClientRect().right > innerWidth && !e.closest('.pst-scrollable-table-container')))
    .map(e => e.textContent.slice(0, 60))"""


def _told(broken: dict[str, Any]) -> str:
    first = broken["nodes"][0]
    why = first["any"][0]["message"] if first["any"] else broken["help"]
    return f"{broken['id']}, {len(broken['nodes'])} times, first {first['html'][:120]}: {why}"


def main(argv: list[str] | None = None) -> int:
    """Check the site; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    site = parser.parse_args(argv).site
    found = list(dead_links(site))
    print(f"{len(all_pages(site))} pages, {count_links(site)} links, {len(found)} dead")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        import axe_playwright_python  # noqa: F401
    except ImportError:
        executable = None
    if executable is None:
        print("not looked at in a browser: that needs Chromium, playwright and axe-playwright-python")
    else:
        seen = list(seen_in_browser(site, executable))
        print(f"{len(written_pages(site))} pages opened in {executable}, {len(seen)} complaints")
        found += seen
    print(*found, sep="\n", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
