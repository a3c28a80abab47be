"""The page of ``minicnn explore`` in Chromium, by clicking and typing as its readers do."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicnn.explore.page import text

from ..support.explored import HOSTILE, data, node, sample, tall
from .test_page_script import numpy_output

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
AXE = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]},
    "resultTypes": ["violations"],
    "preload": False,
}

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="a look in a browser needs playwright")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("no Chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """A function that opens the page of some data; whatever it does then, no script fails and nothing is loaded."""
    pages, wrong = [], []

    def check(request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            wrong.append(f"asked for {request.url}")

    def open_page(found: dict[str, Any], place: str = "", viewport: Any = DESK, **options: Any) -> Any:
        path = tmp_path / f"page{len(pages)}.html"
        path.write_text(text(found), encoding="utf-8")
        page = browser.new_context(offline=True, viewport=viewport, **options).new_page()
        pages.append(page)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: wrong.append("a dialog"))
        page.on("request", check)
        page.goto(path.as_uri() + place)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert wrong == []


def box(page: Any, key: str) -> Any:
    return page.locator(f'#canvas button[data-key="{key}"]')


def keys(page: Any) -> list[str]:
    return page.eval_on_selector_all("#canvas button", "all => all.map(one => one.dataset.key)")


def chosen(page: Any) -> str:
    return page.get_attribute('#canvas [aria-current="true"]', "data-key")


def heading(page: Any) -> str:
    return page.inner_text("#panel h2")


# ---- the graph -------------------------------------------------------------------------------------------------


@pytest.mark.slow(10)
def test_modules_fold_and_unfold_by_click_and_by_key(opened: Open) -> None:
    page = opened(sample())
    assert {"mblock2.one", "n12"} <= {*keys(page)} and "n2" not in keys(page)  # few boxes: the largest is open
    page.click("#fold")
    assert keys(page) == ["n-1", "mstem", "mblock1", "mblock2", "n13", "n14"]
    box(page, "mblock1").click()
    assert {"n2", "n5", "n6"} <= {*keys(page)} and box(page, "mblock1").get_attribute("aria-expanded") == "true"
    box(page, "mblock1").click(position={"x": 20, "y": 10})
    assert "n2" not in keys(page) and box(page, "mblock1").get_attribute("aria-expanded") == "false"
    for key in ("Enter", "Space"):
        box(page, "mblock2").focus()
        page.keyboard.press(key)
        assert "n12" in keys(page) and page.evaluate("document.activeElement.dataset.key") == "mblock2"
        page.keyboard.press(key)
        assert "n12" not in keys(page)


@pytest.mark.slow(20)
def test_a_thousand_nodes_unfold_and_fold(opened: Open) -> None:
    page = opened(tall(200))
    page.click("#unfold")
    everything = 1 + 1000 + 200 + 10  # the input, the nodes, the blocks, the stages
    assert len(keys(page)) == everything and page.locator("#canvas .frame").count() == 210
    page.fill("#wanted", "stage9.199.bn2")
    assert chosen(page) == "n998" and box(page, "n998").is_visible()
    frame, view = box(page, "n998").bounding_box(), page.locator("#graph").bounding_box()
    assert view["y"] <= frame["y"] and frame["y"] + frame["height"] <= view["y"] + view["height"]
    strip = page.locator("#overview").bounding_box()
    page.mouse.click(strip["x"] + 20, strip["y"] + strip["height"] / 2)
    scrolled = page.eval_on_selector("#graph", "one => one.scrollTop / (one.scrollHeight - one.clientHeight)")
    assert scrolled == pytest.approx(0.5, abs=0.01)
    page.click("#fold")
    assert len(keys(page)) == 11 and chosen(page) == "mstage9"


@pytest.mark.slow(10)
def test_a_click_on_a_node_shows_all_that_is_known(opened: Open) -> None:
    page = opened(sample(), "#node=1")
    box(page, "n0").click()
    panel = page.inner_text("#panel")
    titles = page.eval_on_selector_all("#panel h3", "all => all.map(one => one.textContent)")
    assert titles == ["Receptive field", "Feature maps", "Filters", "Gradient that arrives", "Code"]
    assert heading(page) == "stem.0" and "8 × 16 × 16" in panel and "3 × 3 pixels" in panel
    assert page.inner_text("#panel .marked").rstrip() == "11    out = self.relu(self.conv1(x))"
    assert page.locator("#panel .map").count() == 4 + 8 and "black is −1.5, white 2." in panel
    page.click('#panel .map[aria-label="channel 5 of 8"]')
    assert page.inner_text("#panel .large:visible") == "channel 5 of 8"
    page.click('#panel .map[aria-label="channel 5 of 8"]')
    assert page.locator("#panel .large:visible").count() == 0
    page.click("#panel .plot", position={"x": 300, "y": 40})
    assert int(chosen(page)[1:]) > 6  # a place in the plot leads to its node
    page.click("#panel button.link >> nth=0")  # what it reads
    assert box(page, chosen(page)).is_visible()


@pytest.mark.slow(10)
def test_arrow_keys_go_along_the_lines(opened: Open) -> None:
    page = opened(sample(), "#node=1")
    page.click("#unfold")
    box(page, "n1").focus()
    walked = []
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "Escape", "ArrowDown", "End", "ArrowUp", "ArrowUp", "Home"):
        page.keyboard.press(key)
        walked.append(chosen(page))
        assert page.evaluate("document.activeElement.dataset.key") == walked[-1]
    assert walked == ["n2", "n3", "n2", "mblock1", "n2", "n14", "n13", "n12", "n-1"]
    box(page, "n7").click()
    page.keyboard.press("ArrowRight")
    assert chosen(page) in {"n9", "n10"}
    page.keyboard.press("ArrowLeft")
    assert chosen(page) in {"n7", "n8"}
    assert page.locator('#canvas button[tabindex="0"]').count() == 1  # one stop on the way of the Tab key


@pytest.mark.slow(10)
def test_the_address_keeps_the_place(opened: Open) -> None:
    page = opened(sample(), "#node=10")
    assert heading(page) == "block2.two.1" and box(page, "n10").is_visible()
    box(page, "mblock2.two").click(position={"x": 20, "y": 10})
    assert page.url.endswith("#module=block2.two")
    page.evaluate("location.hash = '#module=block1'")
    page.wait_for_function("document.querySelector('#panel h2').textContent === 'block1'")
    for nowhere in ("#node=999", "#module=%E0%A4%A", "#module=", "#" + HOSTILE):
        page.evaluate("place => { location.hash = place }", nowhere)
    assert heading(opened(sample(), "#node=999")) == "stem"


@pytest.mark.slow(10)
def test_the_search_goes_through_what_it_finds(opened: Open) -> None:
    page = opened(sample())
    page.fill("#wanted", "relu")
    found = [chosen(page)]
    assert page.inner_text("#found") == "1 of 5"
    for _ in range(5):
        page.press("#wanted", "Enter")
        found.append(chosen(page))
    assert found == ["n1", "n3", "n6", "n8", "n11", "n1"]
    page.fill("#wanted", HOSTILE)
    assert page.inner_text("#found") == "nothing"


@pytest.mark.slow(10)
def test_the_bars_show_the_chosen_quantity(opened: Open) -> None:
    page = opened(sample())
    widths = "all => all.map(one => parseFloat(one.style.width))"
    seen = {}
    for name in page.eval_on_selector_all("#quantity option", "all => all.map(one => one.value)"):
        page.select_option("#quantity", name)
        seen[name] = page.eval_on_selector_all("#canvas .bar", widths)
        assert max(seen[name]) == 100
    assert list(seen) == ["parameters", "multiply_adds", "bytes", "field", "gradient"]
    assert len({tuple(bars) for bars in seen.values()}) >= 4
    assert seen["multiply_adds"][-1] == pytest.approx(100 * 14 / 30, abs=0.1)  # n14, block2.two: 9 + 10 + 11
    page.click("#smaller")
    assert "scale(0.85)" in page.get_attribute("#canvas", "style")


# ---- Grad-CAM --------------------------------------------------------------------------------------------------

PIXELS = """(at) => { const c = document.querySelector('#cam canvas');
    return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 101 === 0) }"""


@pytest.mark.slow(10)
def test_each_class_has_its_map_and_the_slider_takes_it_away(opened: Open) -> None:
    page = opened(sample())
    page.wait_for_selector("#cam canvas[data-painted]")
    buttons = page.locator("#cam .buttons button")
    pictures = []
    for at in range(3):
        before = page.evaluate(PIXELS, None)
        buttons.nth(at).click()
        assert buttons.nth(at).get_attribute("aria-pressed") == "true"
        page.wait_for_timeout(100)
        pictures.append(page.evaluate(PIXELS, None))
        assert at == 0 or pictures[-1] != before
    assert buttons.nth(0).inner_text() == HOSTILE and HOSTILE in page.inner_text("#prediction")
    page.fill("#strength", "0")
    page.wait_for_timeout(100)
    bare = page.evaluate(PIXELS, None)
    buttons.nth(0).click()
    page.wait_for_timeout(100)
    assert page.evaluate(PIXELS, None) == bare not in pictures
    page.click("#cam button.link")
    assert chosen(page) == "n12"


# ---- the convolution -------------------------------------------------------------------------------------------


def shown_output(page: Any) -> np.ndarray:
    """The numbers in the output's cells; NaN in those that are still empty."""
    rows = page.eval_on_selector_all(
        "#result .cells", "all => all.map(row => [...row.children].map(cell => cell.dataset.value ?? 'nan'))"
    )
    return np.array(rows, dtype=float)


def lesson(found: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {
        "operation": "convolution",
        "channel": "all",
        **found["convolution"],
        "pixels": found["input"]["pixels"],
        **changed,
    }


@pytest.mark.slow(30)
@pytest.mark.parametrize("seed", range(4))
def test_stepping_through_gives_numpys_convolution(opened: Open, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = sample()
    side = int(rng.integers(1, 6))
    found["convolution"] |= {"kernel": rng.normal(size=(3, side, side)).round(3).tolist(), "bias": 0.5}
    page = opened(found, reduced_motion="reduce")
    stride, padding = int(rng.integers(1, 4)), int(rng.integers(0, 3))
    page.select_option("#stride", str(stride))
    page.select_option("#padding", str(padding))
    wanted, _ = numpy_output(lesson(found, stride=stride, padding=padding))
    for at in range(3):
        assert np.isfinite(shown_output(page)).sum() == at
        for _ in range(4):
            page.click("#step")
        assert page.inner_text("#stage").startswith(f"Output pixel {at + 2} of {wanted.size}")
    page.select_option("#pace", "row")
    while not np.isfinite(shown_output(page)).all():
        page.click("#step")
    np.testing.assert_allclose(shown_output(page), wanted, atol=1e-9)
    page.select_option("#channel", "1")
    page.click("#last")
    wanted, _ = numpy_output(lesson(found, stride=stride, padding=padding, channel=1))
    np.testing.assert_allclose(shown_output(page), wanted, atol=1e-9)


@pytest.mark.slow(10)
def test_the_stages_of_one_pixel(opened: Open) -> None:
    found = sample()
    page = opened(found)
    rows = "all => all.map(row => [...row.querySelectorAll('td')].filter(cell => cell.textContent).length)"
    filled = []
    for stage in ("Window", "Column", "Product", "Sum"):
        assert stage in page.inner_text("#stage")
        filled.append(page.eval_on_selector_all("#column tr", rows))
        page.click("#step")
    assert filled == [[0, 0, 0], [27, 0, 0], [27, 27, 27], [27, 27, 27]]
    page.click("#back")
    wanted, _ = numpy_output(lesson(found))
    formula = page.inner_text("#formula").replace("−", "-")
    assert "0.25 (bias)" in formula and float(formula.split("= ")[1]) == pytest.approx(wanted[0, 0], rel=0.01, abs=1e-3)


@pytest.mark.slow(10)
def test_numbers_typed_into_the_kernel_count(opened: Open) -> None:
    found = sample()
    page = opened(found)
    kernel = np.array(found["convolution"]["kernel"])
    for (c, i, j), typed, value in [((0, 1, 1), "2,5", 2.5), ((2, 0, 2), "−1", -1.0), ((1, 2, 0), "none", None)]:
        field = page.locator(f'#weights input[data-place="{c},{i},{j}"]')
        field.fill(typed)
        field.press("Enter")
        kernel[c, i, j] = kernel[c, i, j] if value is None else value
    page.locator('#weights input[data-place="bias,0,0"]').fill("1")
    page.click("#last")
    wanted, _ = numpy_output(lesson(found, kernel=kernel, bias=1.0))
    np.testing.assert_allclose(shown_output(page), wanted, atol=1e-9)
    page.select_option("#kernel", "blur")
    page.click("#last")
    blur = np.outer([1, 2, 1], [1, 2, 1]) / 16
    wanted, _ = numpy_output(lesson(found, kernel=[blur] * 3, bias=0.0))
    np.testing.assert_allclose(shown_output(page), wanted, atol=1e-9)
    page.select_option("#kernel", "the network's own")
    page.click("#last")
    np.testing.assert_allclose(shown_output(page), numpy_output(lesson(found))[0], atol=1e-9)


@pytest.mark.slow(10)
@pytest.mark.parametrize("operation", ["max", "average"])
def test_pooling_takes_one_channel(opened: Open, operation: str) -> None:
    found = sample()
    page = opened(found)
    page.select_option("#operation", operation)
    assert page.input_value("#channel") == "0" and not page.is_visible("#weights")
    page.select_option("#stride", "2")
    page.click("#last")
    wanted, _ = numpy_output(lesson(found, operation=operation, channel=0, stride=2))
    np.testing.assert_allclose(shown_output(page), wanted, atol=1e-9)
    page.select_option("#operation", "convolution")
    page.click("#last")
    np.testing.assert_allclose(shown_output(page), numpy_output(lesson(found, stride=2))[0], atol=1e-9)


@pytest.mark.slow(10)
def test_keys_and_play_move_the_lesson(opened: Open) -> None:
    page = opened(sample())
    page.clock.install()
    page.focus("#step")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert np.isfinite(shown_output(page)).sum() == 1 and "pixel 2 of 81" in page.inner_text("#stage")
    page.keyboard.press("End")
    assert np.isfinite(shown_output(page)).all()
    page.click("#play")  # from the end on: from the beginning
    page.clock.run_for(450 * 8)
    assert page.inner_text("#play") == "Pause" and np.isfinite(shown_output(page)).sum() == 2
    page.click("#play")
    page.clock.run_for(5000)
    assert page.inner_text("#play") == "Play" and np.isfinite(shown_output(page)).sum() == 2


@pytest.mark.slow(10)
def test_a_kernel_too_large_is_told(opened: Open) -> None:
    found = sample()
    found["convolution"] |= {"kernel": np.ones((1, 11, 11)).tolist(), "padding": 0, "stride": 4}
    page = opened(found)
    assert page.is_visible("#lesson-none") and not page.is_visible("#lesson-view")
    page.select_option("#padding", "3")
    assert not page.is_visible("#lesson-none") and page.inner_text("#stage").startswith("Output pixel 1 of 4")


# ---- for everybody ---------------------------------------------------------------------------------------------


@pytest.mark.slow(10)
def test_what_is_missing_is_left_out(opened: Open) -> None:
    grey = data([node(0, "", "Conv2d", [-1])])
    grey["input"] |= {"pixels": grey["input"]["pixels"][:1], "name": ""}
    page = opened(grey)
    assert not page.is_visible("#cam") and not page.is_visible("#prediction")
    assert page.eval_on_selector_all("#panel h3", "all => all.length") == 0
    assert page.is_disabled("#channel") and "undefined" not in page.inner_text("body")
    assert "null" not in page.inner_text("body") and "NaN" not in page.inner_text("body")


@pytest.mark.slow(20)
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_is_wider_than_the_screen(opened: Open, viewport: dict[str, int]) -> None:
    page = opened(sample(), "#node=0", viewport=viewport)
    page.click("#unfold")
    page.click("#last")
    page.click("#panel .map >> nth=0")
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    graph, panel = (page.locator(name).bounding_box() for name in ("#graph", "#panel"))
    assert (panel["y"] >= graph["y"] + graph["height"]) == (viewport is PHONE)


@pytest.mark.slow(40)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_axe_core_finds_nothing(opened: Open, scheme: str, viewport: dict[str, int]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    page = opened(sample(), "#node=0", viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert dark == (scheme == "dark")
    page.click("#unfold")
    page.click("#panel .map >> nth=1")
    for _ in range(11):
        page.click("#step")
    broken = axe.run(page, options=AXE).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"]) for one in broken] == []


@pytest.mark.slow(10)
def test_print_has_the_whole_graph_and_no_controls(opened: Open) -> None:
    page = opened(sample())
    page.emulate_media(media="print")
    assert not page.is_visible("#unfold") and not page.is_visible("#lesson")
    size = "one => [one.scrollHeight, one.clientHeight]"
    assert len({*page.eval_on_selector("#graph", size)}) == 1
