"""One HTML page that is complete: it loads nothing, so it opens from a disk, in a mail and without a network.

What the gallery, the teacher's report, ``evaluate``, ``compare`` and ``explore`` write. A page has the reader's
colours, light or dark, fits a phone, and can be printed. Its content security policy lets it load nothing from
anywhere, and without a script of ours nothing in it runs.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ..serialization.atomic import replacing

# In light and in dark. Text on paper: at least 7 to 1; soft text and marks: at least 4.5 to 1.
COLORS = {
    "ink": ("#1b1f24", "#e6e9ed"),
    "paper": ("#ffffff", "#14171b"),
    "soft": ("#4a525c", "#b4bcc6"),
    "line": ("#d9dde3", "#39414d"),
    "raised": ("#f4f6f8", "#1d2229"),
    "mark": ("#00609c", "#56b4e9"),
    "bad": ("#a40e26", "#ff9a92"),
}

STYLE = """
* { box-sizing: border-box; }
body { font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 1rem auto;
  max-width: 62rem; padding: 0 .8rem; overflow-wrap: anywhere; }
h1 { line-height: 1.2; } h2 { margin: 2rem 0 .4rem; line-height: 1.3; } p, ul { margin: .3rem 0; }
a { color: inherit; text-decoration-color: var(--mark); text-underline-offset: .2em; }
.soft { color: var(--soft); } .wide { overflow-x: auto; }
table { border-collapse: collapse; } th { font-weight: 600; }
td, th { text-align: left; vertical-align: top; padding: .15rem .6rem .15rem 0; }
tr + tr { border-top: 1px solid var(--line); }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
svg text { fill: var(--ink); } summary { cursor: pointer; } code { font-size: .92em; }
@media print { body { max-width: none; font-size: 9pt; } tr, svg, figure { break-inside: avoid; } }
"""

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="$policy">
<title>$title</title>
<style>
:root { color-scheme: light dark; $light }
@media (prefers-color-scheme: dark) { :root { $dark } }
$style</style>
</head>
<body>
$body
$scripts</body>
</html>
""")


def page(
    title: str,
    body: str,
    style: str = "",
    script: str = "",
    data: Any = None,
    colors: dict[str, tuple[str, str]] | None = None,
) -> str:
    """The text of a page.

    Args:
        title: plain text; everything else is HTML, CSS and JavaScript of ours, in which foreign text is escaped.
        style: more rules.
        script: the page's program, run when the page is there.
        data: what the program finds as ``JSON.parse(document.getElementById("data").textContent)``; any text may be in
            it. Raises ValueError for NaN and infinity, which JSON does not have.
        colors: more colours in light and dark, each a CSS variable.
    """
    scripts, allowed = "", "'none'"
    if data is not None:
        content = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        scripts += f'<script type="application/json" id="data">{content}</script>\n'
    if script:
        if "</script" in script.lower():
            raise ValueError("a script cannot contain </script")
        code = f"\n{script.strip()}\n"
        scripts += f"<script>{code}</script>\n"
        allowed = f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
    both = {**COLORS, **(colors or {})}
    light, dark = (" ".join(f"--{name}: {pair[at]};" for name, pair in both.items()) for at in (0, 1))
    return PAGE.substitute(
        policy=f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {allowed}",
        title=escape(title),
        light=light,
        dark=dark,
        style=STYLE + style,
        body=body,
        scripts=scripts,
    )


def write_page(path: str | Path, text: str) -> Path:
    """Write ``text`` to ``path`` whole or not at all; its folder is made.

    Raises:
        OSError: if it cannot be written; a file that was there stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")
    return path


def data_url(png: bytes) -> str:
    """A PNG as the ``src`` of an ``<img>``."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
