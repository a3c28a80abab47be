"""What ``minicnn.explore.look`` would say of small networks, made by hand; and the page's script run by Node."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minicnn.explore.page import SCRIPTS
from minicnn.utils.page import data_url

HOSTILE = "</script><img src=x onerror=alert(1)>&amp;\"'"
SIDE = 32
SOURCE = "def forward(self, x):\n    out = self.relu(self.conv1(x))\n    out = self.conv2(out)\n    return out + x"


def picture(shape: tuple[int, ...], seed: int = 0) -> str:
    """Noise as a PNG: (H, W) grey or (H, W, 3) in colours."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(file, "png")
    return data_url(file.getvalue())


def node(at: int, module: str, kind: str, inputs: list[int], **known: Any) -> dict[str, Any]:
    """A node with what the page always needs, and ``known``."""
    optional = dict.fromkeys(("field", "stride", "gradient", "line", "maps", "values", "filters", "looks"))
    costs = {"parameters": 10 * at, "multiply_adds": 1000 * at, "bytes": 4096}
    return {
        **{"id": at, "module": module, "kind": kind, "label": kind.lower(), "inputs": inputs},
        **{"shape": [8, 16, 16], **costs, **optional, **known},
    }


def modules(nodes: list[dict[str, Any]], kinds: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The modules that ``nodes`` name, and those around them."""
    paths = {""}
    for one in nodes:
        parts = one["module"].split(".") if one["module"] else []
        paths |= {".".join(parts[:length]) for length in range(len(parts) + 1)}
    return [
        {
            **{"path": path, "name": path.split(".")[-1], "kind": (kinds or {}).get(path, "Module")},
            **{"parent": None if path == "" else path.rpartition(".")[0]},
            "parameters": sum(
                one["parameters"]
                for one in nodes
                if path in ("", one["module"]) or one["module"].startswith(path + ".")
            ),
            **{"file": "mine.py", "line": 1, "source": SOURCE, "source_line": 10},
        }
        for path in sorted(paths)
    ]


def data(nodes: list[dict[str, Any]], **changed: Any) -> dict[str, Any]:
    """The smallest data of a page: a graph, an image, and a convolution to step through."""
    pixels = np.random.default_rng(1).normal(size=(3, 9, 9)).round(3).tolist()
    kernel = np.random.default_rng(2).normal(size=(3, 3, 3)).round(3).tolist()
    return {
        **{"title": "tiny", "origin": "random weights, seed 0", "class": "Tiny", "variant": None},
        "command": "minicnn explore tiny",
        "input": {"shape": [3, SIDE, SIDE], "name": "photo.png", "src": picture((SIDE, SIDE, 3)), "pixels": pixels},
        "totals": {"parameters": 123456, "multiply_adds": 7654321, "activation_bytes": 99999},
        **{"prediction": [], "cam": None, "modules": modules(nodes), "nodes": nodes, "output": nodes[-1]["id"]},
        "convolution": {"kernel": kernel, "bias": 0.25, "stride": 1, "padding": 1, "node": 0},
        **{"notes": [], **changed},
    }


def sample() -> dict[str, Any]:
    """Every part that a page can have: a stem, a block with an identity shortcut, one with two branches, a head."""
    rng = np.random.default_rng(3)
    rows = [
        ("stem.0", "Conv2d", [-1]), ("stem.1", "ReLU", [0]),
        ("block1.conv1", "Conv2d", [1]), ("block1.relu", "ReLU", [2]), ("block1.conv2", "Conv2d", [3]),
        ("block1", "Add", [4, 1]), ("block1.relu", "ReLU", [5]),
        ("block2.one.conv", "Conv2d", [6]), ("block2.one", "ReLU", [7]), ("block2.two.0", "MaxPool2d", [6]),
        ("block2.two.1", "Conv2d", [9]), ("block2.two.2", "ReLU", [10]), ("block2", "Cat", [8, 11]),
        ("", "Flatten", [12]), ("fc", "Linear", [13]),
    ]  # fmt: skip
    nodes = [node(at, *row) for at, row in enumerate(rows)]
    for one in nodes[:13]:
        side = 3 + 2 * one["id"]
        line = {"file": "mine.py", "number": 11 if one["id"] < 4 else 12, "text": SOURCE.split("\n")[1].strip()}
        maps = {"src": picture((16, 16), one["id"]), "columns": 2, "size": [8, 8], "channels": [3, 0, 5, 7]}
        one |= {"field": [side, side], "stride": [2, 2], "gradient": float(10 ** -rng.uniform(2, 5)), "line": line}
        one["maps"] = {**maps, "low": -1.5, "high": 2.0}
    filters = {"src": picture((6, 12, 3)), "columns": 4, "size": [3, 3], "count": 8, "color": True}
    nodes[0]["filters"] = filters | {"channels": list(range(8)), "slices": None}
    nodes[6]["looks"] = {"src": picture((16, 16)), "effective": 9.5}
    nodes[13]["shape"], nodes[14]["shape"] = [2048], [10]
    nodes[14] |= {"values": [[HOSTILE, 3.2], [4, -1.5]], "gradient": 0.03}
    guesses = [(3, HOSTILE, 0.6), (4, "daisy", 0.3), (1, "tulip", 0.05)]
    prediction = [{"index": at, "label": label, "probability": share} for at, label, share in guesses]
    classes = [{"index": at, "label": label, "src": picture((4, 4), at), "peak": share} for at, label, share in guesses]
    return data(nodes, prediction=prediction, cam={"node": 12, "classes": classes}, variant="paper", title=HOSTILE)


def random_network(seed: int, size: int = 40) -> dict[str, Any]:
    """Nodes that read up to four earlier ones, most often the last, in modules up to three deep."""
    rng = np.random.default_rng(seed)
    nodes, path = [], ["0"]
    for at in range(size):
        if rng.random() < 0.4:
            path = [*path[: rng.integers(0, 3)], f"m{at}"]
        recent = np.arange(-1, at)[-8:]
        others = rng.choice(recent, min(len(recent), rng.integers(0, 4)), replace=False).tolist()
        inputs = [at - 1] * (rng.random() < 0.8) + others
        nodes.append(node(at, ".".join(path), "Add", list(dict.fromkeys(inputs)) or [at - 1]))
    return data(nodes)


def tall(blocks: int) -> dict[str, Any]:
    """A chain of blocks of five nodes each, with shortcuts."""
    nodes = []
    for block in range(blocks):
        start, path = 5 * block, f"stage{block // 20}.{block}"
        for at, name in enumerate(("conv1", "bn1", "conv2", "bn2")):
            nodes.append(node(start + at, f"{path}.{name}", "Conv2d", [start + at - 1]))
        nodes.append(node(start + 4, path, "Add", [start + 3, start - 1]))
    return data(nodes)


def run_script(ending: str, given: Any, names: tuple[str, ...] = SCRIPTS[:-1]) -> Any:
    """What ``ending``, JavaScript after the page's files, prints as JSON; ``given`` is there under this name."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("no Node")
    folder = files("minicnn.explore.page")
    script = "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in names)
    script += f'\nconst given = JSON.parse(require("fs").readFileSync(0, "utf-8"));\n{ending}'
    done = subprocess.run([program, "-e", script], input=json.dumps(given), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)
