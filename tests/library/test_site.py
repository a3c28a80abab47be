"""The site: links into code lead to its pages, Python is in notebooks, every public name is in the reference."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("sphinx", reason="the site needs the extra docs")

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def _loaded(name: str) -> ModuleType:
    """A module of ``docs``, which is no package."""
    sys.path[:0] = [str(DOCS), str(DOCS / "_ext")]
    try:
        return importlib.import_module(name)
    finally:
        del sys.path[:2]


code_pages, public, check_site = map(_loaded, ("code_pages", "public", "check_site"))


# ---- links into the repository ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app() -> Any:
    """As much of a Sphinx application as the links need."""
    found = SimpleNamespace(srcdir=str(DOCS), env=SimpleNamespace(doc2path=lambda name: DOCS / f"{name}.md"))
    code_pages.start(found)
    return found


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("[`a`](../minicnn/models/resnet.py#L57)", "[`a`](code:minicnn/models/resnet.py#L57)"),
        ("[a](../minicnn/models), [b](../README.md)", "[a](code:minicnn/models), [b](code:README.md)"),
        ("[a](../assignments/hw4_resnet/README.md#hw42)", "[a](homework/hw4.md#hw42)"),
        ("[a](convolution.md#cost)", "[a](convolution.md#cost)"),
        ("![a](images/im2col.svg)", "![a](images/im2col.svg)"),
        ("[a](https://host/minicnn)", "[a](https://host/minicnn)"),
        ("`[a](../README.md)`, [`b`](../README.md): [`c`](../LICENSE)", None),
        ("```sh\n[a](../README.md)\n```\n[a](no/such.py)", "```sh\n[a](../README.md)\n```\n[a](no/such.py)"),
    ],
)
def test_links_that_leave_the_folder_lead_to_pages_of_code(app: Any, written: str, becomes: str | None) -> None:
    content = [written]
    code_pages.rewrite_page(app, "evening", content)
    assert content[0] == (becomes or "`[a](../README.md)`, [`b`](code:README.md): [`c`](code:LICENSE)")


def test_links_of_an_included_text_start_at_its_own_place(app: Any) -> None:
    content = ["[a](../../docs/autograd.md#hooks), [b](conv.py), ![c](../../docs/images/im2col.svg)"]
    app.env.docname = "homework/hw2"
    code_pages.rewrite_included(app, Path("../assignments/hw2_convolution/README.md"), "hw2", content)
    assert content[0] == (
        "[a](../autograd.md#hooks), [b](code:assignments/hw2_convolution/conv.py), ![c](../images/im2col.svg)"
    )


def test_a_page_of_code_has_every_line_as_a_place() -> None:
    lines = (ROOT / "minicnn/models/resnet.py").read_text(encoding="utf-8").splitlines()
    page = code_pages._highlighted("minicnn/models/resnet.py")
    assert re.findall(r'<span id="L(\d+)">', page) == [str(number) for number in range(1, len(lines) + 1)]


def test_the_reference_leads_to_the_line_of_a_definition() -> None:
    address = code_pages.linkcode_resolve("py", {"module": "minicnn.nn", "fullname": "Conv2d.forward"})
    path, line = re.fullmatch(r"code:(.+)#L(\d+)", address).groups()
    assert (ROOT / path).read_text(encoding="utf-8").splitlines()[int(line) - 1].strip().startswith("def forward")


def test_the_style_of_formulas_is_of_the_scripts_version() -> None:
    katex = pytest.importorskip("sphinxcontrib.katex")
    style = (DOCS / "_static/katex/katex.min.css").read_text(encoding="utf-8")
    assert f'content:"{katex.katex_version}"' in style
    fonts = set(re.findall(r"url\((fonts/[^)]+)\)", style))
    assert fonts and all((DOCS / "_static/katex" / font).is_file() for font in fonts)


@pytest.mark.parametrize(
    ("picture", "author"), [("images/lecture-backbones.png", "danielbuechele"), ("images/deformable.png", "vultilion")]
)
def test_a_page_that_shows_a_photograph_names_its_author(picture: str, author: str) -> None:
    pages = DOCS.rglob("*.md")
    shown = [text for page in pages if picture in (text := page.read_text(encoding="utf-8"))]
    assert shown and all(re.search(rf"{author}, \[CC BY 2\.0\]", text) for text in shown)


def test_the_search_scores_as_sphinx_does_but_for_its_own_function() -> None:
    sphinx = pytest.importorskip("sphinx")
    theirs = (Path(sphinx.__file__).parent / "themes/basic/static/searchtools.js").read_text(encoding="utf-8")
    theirs = theirs[: theirs.index("};")]
    ours = (DOCS / "_static/scorer.js").read_text(encoding="utf-8")
    numbers = re.compile(r"(\w+): (-?\d+)")
    assert dict(numbers.findall(ours)) == dict(numbers.findall(theirs)) != {}


def test_a_page_is_described_by_its_first_paragraph() -> None:
    nodes = pytest.importorskip("docutils.nodes")
    note = nodes.note("", nodes.paragraph("", "A remark."))
    page = nodes.section("", nodes.title("", "T"), note, nodes.paragraph("", "One\nline. " + "And more. " * 30))
    described = _loaded("description").description(page)
    assert described.startswith("One line. And more.") and described.endswith(" ...") and len(described) <= 200
    assert _loaded("description").description(nodes.section("", note.deepcopy())) == ""


# ---- reference -------------------------------------------------------------------------------------------------


def documented() -> set[str]:
    """The full name of everything that the pages of the reference document."""
    names = set()
    for page in sorted((DOCS / "reference").glob("*.md")):
        for block in public.BLOCK.finditer(page.read_text(encoding="utf-8")):
            text = public._documented(block)
            names |= {f"{block['module']}.{name}" for name in re.findall(r"^\.\. \S+:: (\S+)$", text, re.MULTILINE)}
    return {name for name in names if not name.endswith(".minicnn")}


def test_every_public_name_is_in_the_reference() -> None:
    from tests.library.test_package import PUBLIC

    on_pages = documented()
    modules = sorted(set(PUBLIC) - {"minicnn.Tensor", "minicnn.nn.Module"})
    names = {name: f"{module}.{name}" for module in modules for name in public.public_names(module)}
    assert (
        sorted(full for name, full in names.items() if full not in on_pages and f"minicnn.{name}" not in on_pages) == []
    )


# ---- notebooks -------------------------------------------------------------------------------------------------


def test_a_page_becomes_cells_with_outputs_and_pictures(tmp_path: Path) -> None:
    notebooks = _loaded("notebooks")
    (tmp_path / "dot.svg").write_text("<svg/>", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\nSee {term}`the\ntape\n<tape>` and [this](x.py).\n\n![a dot](dot.svg)\n\n"
        "```python\nx = 1\nprint(x)\n```\n\n"
        "```text\n1\n```\n\nAfter.\n\n```{toctree}\nnothing\n```\n\n```python\nx\n```\n",
        encoding="utf-8",
    )
    cells = notebooks.notebook(page).cells
    assert [cell.cell_type for cell in cells] == ["markdown", "code", "markdown", "code"]
    assert cells[0].source == "# Title\n\nSee the\ntape and this.\n\n![a dot](attachment:dot.svg)"
    assert [*cells[0].attachments["dot.svg"]] == ["image/svg+xml"]
    assert (cells[1].source, cells[1].outputs[0].text) == ("x = 1\nprint(x)", "1\n")
    assert (cells[2].source, cells[3].outputs) == ("After.", [])


def test_a_page_without_python_is_no_notebook(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```sh\nls\n```\n", encoding="utf-8")
    assert _loaded("notebooks").notebook(page) is None


@pytest.mark.slow(60)
def test_a_notebook_runs_and_prints_what_its_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    written = _loaded("notebooks").notebook(DOCS / "evening.md")
    shown = [[output.text for output in cell.outputs] for cell in written.cells if cell.cell_type == "code"]
    nbclient.NotebookClient(written, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [
        ["".join(output.text for output in cell.outputs if output.output_type == "stream")]
        for cell in written.cells
        if cell.cell_type == "code"
    ]
    assert [got for got, wanted in zip(printed, shown, strict=True) if wanted] == [text for text in shown if text]


# ---- the check of the built site -------------------------------------------------------------------------------

GOOD = '<!doctype html><html lang="en"><title>t</title><main><h1 id="a">t</h1><a href="#a">here</a>{}</main></html>'


def write_site(folder: Path, body: str) -> Path:
    (folder / "index.html").write_text(GOOD.format(body), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("", None),
        ('<a href="index.html#a">t</a><a href="https://host/x">t</a>', None),
        ('<a href="gone.html">t</a>', "gone.html leads to no file"),
        ('<img src="gone.png" alt="">', "gone.png leads to no file"),
        ('<a href="#b">t</a>', "#b leads to no place"),
        ('<a href="index.html#L7">t</a>', "#L7 leads to no place"),
    ],
)
def test_dead_links_are_found(tmp_path: Path, body: str, complaint: str | None) -> None:
    found = list(check_site.dead_links(write_site(tmp_path, body)))
    assert found == [] if complaint is None else complaint in found[0]


def test_a_site_without_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="sphinx-build"):
        list(check_site.dead_links(tmp_path))


@pytest.mark.slow(30)
def test_a_browser_finds_errors_overflow_and_contrast(tmp_path: Path) -> None:
    pytest.importorskip("axe_playwright_python", reason="the check in a browser needs axe-playwright-python")
    executable = next(filter(None, map(shutil.which, check_site.BROWSERS)), None)
    if executable is None:
        pytest.skip("no Chromium")
    assert list(check_site.seen_in_browser(write_site(tmp_path, ""), executable)) == []
    bad = '<script>none()</script><p style="width:900px">wide</p><p style="color:#aaa;background:#fff">pale</p>'
    bad += '<div class="math" style="display:flex;flex-direction:row-reverse;overflow:auto" tabindex="0">'
    bad += '<i style="flex:none;width:800px">left</i></div><div style="overflow:hidden"><p><code>'
    bad += f"{'right' * 99}</code></p></div>"
    found = "\n".join(check_site.seen_in_browser(write_site(tmp_path, bad), executable))
    assert "none is not defined" in found and "pixels wide on a phone" in found and "color-contrast" in found
    assert "out of sight on a phone: left" in found and "out of sight on a phone: right" in found
