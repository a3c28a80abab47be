"""The page's script without a page: convolutions beside NumPy's, and layouts in which nothing covers anything."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from ..support.explored import data, node, random_network, run_script, sample, tall

# ---- the convolution of hand size ------------------------------------------------------------------------------

LESSONS = "console.log(JSON.stringify(given.map((lesson) => [outputOf(lesson), im2colMatrix(lesson)])))"


def lessons() -> list[dict[str, Any]]:
    """Kernels of 1 to 5, strides, paddings, channels, of one to three image channels; some with one kernel for all."""
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        channels, side, size = rng.integers(1, 4), int(rng.integers(1, 6)), int(rng.integers(5, 10))
        kernels = channels if rng.random() < 0.8 else 1
        operation = ("convolution", "convolution", "max", "average")[seed % 4]
        channel = "all" if rng.random() < 0.6 and operation == "convolution" else int(rng.integers(0, channels))
        found.append(
            {
                **{"operation": operation, "channel": channel, "bias": float(rng.normal())},
                **{"stride": int(rng.integers(1, 4)), "padding": int(rng.integers(0, 3))},
                "pixels": rng.normal(size=(channels, size, size)).tolist(),
                "kernel": rng.normal(size=(kernels, side, side)).tolist(),
            }
        )
    return found


def numpy_output(lesson: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The output, and the matrix of windows."""
    pixels, kernel = np.array(lesson["pixels"]), np.array(lesson["kernel"])
    kernel = np.broadcast_to(kernel, (len(pixels), *kernel.shape[1:]))
    if lesson["channel"] != "all":
        pixels, kernel = (array[lesson["channel"]][None] for array in (pixels, kernel))
    border = -np.inf if lesson["operation"] == "max" else 0
    padding, stride = lesson["padding"], lesson["stride"]
    image = np.pad(pixels, ((0, 0), (padding, padding), (padding, padding)), constant_values=border)
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape[1:], axis=(1, 2))[:, ::stride, ::stride]
    matrix = windows.transpose(0, 3, 4, 1, 2).reshape(kernel.size, -1)
    shape = windows.shape[1:3]
    if lesson["operation"] == "max":
        return matrix.max(0).reshape(shape), matrix
    if lesson["operation"] == "average":
        return matrix.mean(0).reshape(shape), matrix
    bias = lesson["bias"] if lesson["channel"] == "all" else 0
    return (kernel.reshape(-1) @ matrix + bias).reshape(shape), matrix


def numbers(rows: list[list[float | None]]) -> np.ndarray:
    """JSON has no infinity, and says null."""
    return np.array([[-np.inf if value is None else value for value in row] for row in rows])


def test_every_window_gives_what_numpy_gives() -> None:
    given = lessons()
    for lesson, (output, matrix) in zip(given, run_script(LESSONS, given, ("convolve",)), strict=True):
        wanted, columns = numpy_output(lesson)
        np.testing.assert_array_equal(numbers(matrix), columns)
        np.testing.assert_allclose(numbers(output), wanted, atol=1e-12)


def test_a_kernel_that_does_not_fit_gives_no_output() -> None:
    lesson = {**lessons()[0], "kernel": np.ones((1, 12, 12)).tolist(), "padding": 0}
    assert run_script(LESSONS, [lesson], ("convolve",)) == [[[], []]]


# ---- filters ---------------------------------------------------------------------------------------------------

FILTERS = """
var element = (tag, attributes, ...children) => children.flat();
var part = (title, ...children) => children.flat();
var gallery = (sprite, told, short) => Array.from({ length: sprite.count }, (_, at) => [told(at), short(at)]);
console.log(JSON.stringify(given.map((filters) => filtersPart(null, { node: { filters } }))));
"""


def test_filters_have_the_number_of_their_map_and_of_their_slice() -> None:
    grey = {"count": 2, "channels": [5, 2], "slices": [4, 1], "color": False}
    color = {"count": 1, "channels": [0], "slices": None, "color": True}
    found = run_script(FILTERS, [grey, color], ("maps",))
    assert found[0][0].startswith("Of each filter the slice with the largest weights")
    assert [gallery for _, *gallery in found[:1]] == [[["filter 5, slice 4", "5"], ["filter 2, slice 1", "2"]]]
    assert found[1][1:] == [["filter 0", "0"]]


# ---- the tree of boxes -----------------------------------------------------------------------------------------

TREE = """
const network = buildNetwork(given);
const seen = ({ key, title, values, children }) => ({ key, title, values, children: children.map(seen) });
console.log(JSON.stringify(seen(network.root)));
"""


def test_modules_are_boxes_and_their_layers_are_nodes() -> None:
    root = run_script(TREE, sample())
    children = {child["key"]: child for child in root["children"]}
    assert [*children] == ["n-1", "mstem", "mblock1", "mblock2", "n13", "n14"]
    block = children["mblock1"]
    assert [child["title"] for child in block["children"]] == ["conv1", "relu", "conv2", "Add", "relu"]
    assert [child["key"] for child in children["mblock2"]["children"]] == ["mblock2.one", "mblock2.two", "n12"]
    assert [child["title"] for child in children["mblock2"]["children"][1]["children"]] == ["two.0", "two.1", "two.2"]
    assert block["values"]["multiply_adds"] == 1000 * sum(range(2, 7)) and block["values"]["bytes"] == 5 * 4096
    assert root["values"]["parameters"] == 10 * sum(range(15))


def test_a_layer_of_several_steps_has_a_frame_and_one_that_runs_twice_has_none() -> None:
    rows = [("relu", "ReLU", [-1]), ("norm", "Mean", [0]), ("norm", "Sub", [0, 1]), ("relu", "ReLU", [2])]
    root = run_script(TREE, data([node(at, *row) for at, row in enumerate(rows)]))
    assert [child["key"] for child in root["children"]] == ["n-1", "n0", "mnorm", "n3"]
    assert [child["title"] for child in root["children"][2]["children"]] == ["Mean", "Sub"]


# ---- layout ----------------------------------------------------------------------------------------------------

LAYOUTS = """
const made = given.networks.map((data) => {
  const network = buildNetwork(data);
  const groups = [...network.boxes.values()].filter((box) => box.module && box.parent);
  const unfolded = new Set(groups.filter((_, at) => at % given.every === 0).flatMap((box) => [...around(box), box])
    .filter((box) => box.parent).map((box) => box.key));
  const [shown, paths] = [new Map(), []];
  const placed = layoutOf(network.root, unfolded);
  frameOf = () => null; // there is no document
  collect(placed, placed.left, 0, 0, shown, [], paths);
  return { width: placed.left + placed.right, height: placed.height,
    boxes: [...shown.values()].map(({ box, x, y, width, height }) => ({ key: box.key, x, y, width, height,
      open: unfolded.has(box.key), inside: around(box).map((group) => group.key) })),
    paths: paths.map(({ d, x, y, from, to }) => ({ d, x, y, from: from.key || from, to: to.key || to })),
    inputs: data.nodes.map((node) => [node.id, node.inputs]) };
});
console.log(JSON.stringify(made));
"""
FILES = ("dom", "network", "layout", "edges", "boxes", "graph")
NETWORKS = [*(random_network(seed) for seed in range(10)), sample(), tall(6)]


def points(path: dict[str, Any]) -> np.ndarray:
    """Points along a path of M, V and C."""
    found = []
    for letter, text in re.findall(r"([MVC])([^MVC]+)", path["d"]):
        numbers = [float(number) for number in text.split()]
        if letter == "M":
            at = np.array(numbers)
        ends = {"M": at, "V": np.array([at[0], numbers[-1]]), "C": np.array(numbers[-2:])}
        end, t = ends[letter], np.linspace(0, 1, 12)[:, None]
        if letter == "C":
            (one, other) = np.array(numbers[:4]).reshape(2, 2)
            found.append((1 - t) ** 3 * at + 3 * (1 - t) ** 2 * t * one + 3 * (1 - t) * t**2 * other + t**3 * end)
        else:
            found.append(at + t * (end - at))
        at = end
    return np.concatenate(found) + [path["x"], path["y"]]


@pytest.fixture(scope="module", params=[1, 3], ids=["unfolded", "in part"])
def layouts(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return run_script(LAYOUTS, {"networks": NETWORKS, "every": request.param}, FILES)


def corners(boxes: list[dict[str, Any]]) -> np.ndarray:
    return np.array([[box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]] for box in boxes])


def test_no_box_covers_another_and_all_are_in_their_frames(layouts: list[dict[str, Any]]) -> None:
    for layout in layouts:
        closed = [box for box in layout["boxes"] if not box["open"]]
        places = corners(closed)
        apart = (places[:, None, 2:] <= places[None, :, :2]).any(-1)
        assert (apart | apart.T | np.eye(len(closed), dtype=bool)).all()
        frames = {box["key"]: place for box, place in zip(layout["boxes"], corners(layout["boxes"]), strict=True)}
        for box in layout["boxes"]:
            for place in (frames[key] for key in box["inside"] if key in frames):
                own = frames[box["key"]]
                assert (own[:2] >= place[:2]).all() and (own[2:] <= place[2:]).all()
        assert (places >= 0).all() and (places <= [layout["width"], layout["height"]] * 2).all()


def test_what_reads_stands_below_what_it_reads(layouts: list[dict[str, Any]]) -> None:
    for layout in layouts:
        places = {box["key"]: box for box in layout["boxes"]}
        for at, inputs in layout["inputs"]:
            for source in inputs:
                reader, read = places.get(f"n{at}"), places.get(f"n{source}")
                if reader and read:
                    assert reader["y"] >= read["y"] + read["height"] + 20


def test_no_line_crosses_a_box(layouts: list[dict[str, Any]]) -> None:
    for layout in layouts:
        places = corners([box for box in layout["boxes"] if not box["open"]])
        for path in layout["paths"]:
            along = points(path)[:, None]
            inside = (along > places[:, :2] + 1) & (along < places[:, 2:] - 1)
            assert not inside.all(-1).any(), f"{path['from']} to {path['to']}"


def test_a_line_ends_at_the_boxes_it_connects(layouts: list[dict[str, Any]]) -> None:
    for layout in layouts:
        places = {box["key"]: box for box in layout["boxes"]}
        assert len(layout["paths"]) >= len(layout["boxes"]) // 2
        for path in layout["paths"]:
            start, *_, end = points(path)
            for name, (x, y), bottom in ((path["from"], start, 1), (path["to"], end, 0)):
                if name in places:
                    box = places[name]
                    assert box["x"] < x < box["x"] + box["width"]
                    assert y == pytest.approx(box["y"] + bottom * box["height"])


def test_unfolding_a_module_keeps_the_order_of_the_others() -> None:
    orders = []
    for every in (1, 10**6):
        (layout,) = run_script(LAYOUTS, {"networks": [tall(6)], "every": every}, FILES)
        tops = [box for box in layout["boxes"] if len(box["inside"]) == 1]
        orders.append([box["key"] for box in sorted(tops, key=lambda box: box["y"])])
    assert orders[0] == orders[1] and len(orders[0]) > 1


def test_each_branch_is_stacked_on_its_own_and_its_line_runs_straight_down() -> None:
    rows = [("", "Conv2d", [-1]), ("tall.a", "Conv2d", [0]), ("tall.b", "Conv2d", [1]), ("tall.c", "ReLU", [2])]
    rows += [("", "Pool", [0]), ("", "Conv2d", [4]), ("", "Cat", [3, 5])]
    network = data([node(at, *row) for at, row in enumerate(rows)])
    (layout,) = run_script(LAYOUTS, {"networks": [network], "every": 1}, FILES)
    places = {box["key"]: box for box in layout["boxes"]}
    assert places["mtall"]["y"] == places["n4"]["y"] and places["mtall"]["x"] != places["n4"]["x"]
    gap = places["n5"]["y"] - places["n4"]["y"] - places["n4"]["height"]
    assert gap == places["n2"]["y"] - places["n1"]["y"] - places["n1"]["height"] < places["mtall"]["height"] / 4
    lines = {(path["from"], path["to"]): path["d"] for path in layout["paths"]}
    assert lines["mtall", "n6"].count("C") == lines["n5", "n6"].count("C") == 1  # a bend just above what joins them
    rows[6:] = [("", "Conv2d", [5]), ("", "Cat", [0, 3, 6])]  # and a shortcut, for which only a lane is free
    network = data([node(at, *row) for at, row in enumerate(rows)])
    (layout,) = run_script(LAYOUTS, {"networks": [network], "every": 1}, FILES)
    lines = {(path["from"], path["to"]): path["d"] for path in layout["paths"]}
    assert lines["mtall", "n7"].count("C") == 1 and lines["n0", "n7"].count("C") == 2
