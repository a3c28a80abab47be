"""The site: ``sphinx-build -W docs site`` builds it (``pip install ".[docs]"`` installs what it needs)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "_ext"), str(Path(__file__).parent.parent)]

from code_pages import linkcode_resolve  # noqa: E402, F401  (sphinx.ext.linkcode takes it from here)

import minicnn  # noqa: E402

project = "minicnn"
author = "the minicnn authors"
copyright = "the minicnn authors, MIT licence"
version = release = minicnn.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.linkcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.katex",
    "code_pages",
    "description",
    "notebooks",
    "public",
]
exclude_patterns = ["_ext", "_static"]
templates_path = ["_templates"]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4
myst_url_schemes = ["http", "https", "mailto", "code"]

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # as they are written
autodoc_inherit_docstrings = False  # a method that only overrides has nothing to add
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_use_rtype = False
default_role = "code"
nitpicky = False

html_title = "minicnn"
html_theme = "pydata_sphinx_theme"
katex_css_path = "katex/katex.min.css"  # with its fonts; the script comes with the extension
html_static_path = ["_static"]
html_search_scorer = str(Path(__file__).parent / "_static" / "scorer.js")
html_favicon = html_logo = "_static/logo.svg"
html_additional_pages = {"404": "404.html"}
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "minicnn"},
    "navbar_align": "left",
    "navbar_persistent": ["search-button-field"],
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": {"**": ["page-toc", "notebook"]},
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "show_toc_level": 2,
}
html_sidebars = {"index": [], "code/**": [], "search": []}
copybutton_selector = "div.highlight:not(.code-file) pre"
