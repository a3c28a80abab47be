"""Draws the pictures of the documentation as the commands draw them: ``python docs/images/draw.py``.

The lecture's figures are drawn from the results that come with minicnn, the learning curves from the files of a run,
which are kept in ``resnet20-digits``. ``tests/library/test_images.py`` compares the pictures here with what is drawn
now.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from minicnn.lecture import Figure, figure, figure_names, shipped
from minicnn.training import draw_curves, least_loss
from minicnn.utils import style

FOLDER = Path(__file__).parent
RUN = FOLDER / "resnet20-digits"  # of: minicnn train resnet20


def pictures() -> dict[str, Callable[[Path], None]]:
    """What draws each picture, by the picture's name: called with the path to write to."""
    lecture = {f"lecture-{name}.png": partial(draw_figure, figure(name)) for name in figure_names()}
    lecture["deformable.png"] = lecture.pop("lecture-deformable.png")
    beside = {"deformable-offsets.png": "deformable.py", "scaling.png": "scaling.py"}
    others = {name: partial(draw_beside, script) for name, script in beside.items()}
    return {**lecture, **others, "resnet20-digits.png": draw_run}


def draw_figure(shown: Figure, path: Path) -> None:
    """A figure of the lecture, from its shipped result."""
    found = shipped.read(shown)
    assert found is not None, f"{shown.name} has no shipped result"
    with style.applied():
        style.save(shown.draw(found[0]), path)


def draw_run(path: Path) -> None:
    """The ``curves.png`` of the README's run."""
    config, result = (json.loads((RUN / name).read_text(encoding="utf-8")) for name in ("config.json", "result.json"))
    lines = [json.loads(line) for line in (RUN / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    accuracy = f"test accuracy {100 * result['test_top1']:.2f} %"
    draw_curves(
        path, lines, f"{config['model']} on {config['data']}", accuracy, least_loss(config["label_smoothing"], 10)
    )


def draw_beside(script: str, path: Path) -> None:
    """The picture of a script that lies beside this file and is no part of a package."""
    spec = importlib.util.spec_from_file_location(f"picture_of_{Path(script).stem}", FOLDER / script)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with style.applied():
        style.save(module.draw(), path)


def main() -> None:
    """Draw all pictures into the folder of this file."""
    for name, draw in pictures().items():
        draw(FOLDER / name)
        print(f"{name}: {(FOLDER / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
