"""The picture of docs/scaling.md: efficiency over the number of workers, for two links. ``draw.py`` draws it."""

from __future__ import annotations

from typing import Any

from minicnn.distributed.simulation import Layer, Link, layers_of, simulate_step
from minicnn.models import create_model, model_entry
from minicnn.utils import style

NETWORKS = {  # one of each family, and how it is written
    "alexnet": "AlexNet",
    "vgg16": "VGG-16",
    "googlenet": "GoogLeNet",
    "resnet50": "ResNet-50",
    "densenet121": "DenseNet-121",
    "efficientnet_b0": "EfficientNet-B0",
}
LINKS = {"10 Gb/s, 50 µs": Link(50e-6, 1.25e9), "100 Gb/s, 9.6 µs": Link(9.6e-6, 12.5e9)}
IMAGES, RATE = 32, 2e12  # of each worker: images in a step, multiply-adds per second
WORKERS = [2**power for power in range(11)]


def layers(name: str) -> list[Layer]:
    """The layers of a network on images of its own size."""
    side = model_entry(name).input_size
    return layers_of(create_model(name, init=False), (3, side, side), IMAGES, RATE)


def draw() -> Any:
    """The Matplotlib figure."""
    drawing = style.picture(height=4.2)
    panels = drawing.subplots(1, 2, sharey=True)
    found = {name: layers(name) for name in NETWORKS}
    for axes, (title, link) in zip(panels, LINKS.items(), strict=True):
        axes.set(title=title, xscale="log", xlim=(1, 1024), ylim=(0, 105), xlabel="workers, in a ring")
        style.ticks(axes.xaxis, WORKERS[::2])
        axes.grid(axis="y")
        ends = []
        for name, shown in NETWORKS.items():
            values = [100 * simulate_step(found[name], count, link).efficiency for count in WORKERS]
            axes.plot(WORKERS, values, clip_on=False, **style.look_of(name).line())
            ends.append((shown, WORKERS[-1], values[-1]))
        style.label_ends(axes, ends)
    panels[0].set_ylabel("efficiency in %")
    return drawing
