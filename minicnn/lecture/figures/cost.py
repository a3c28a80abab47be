"""Figure ``cost`` (L3.1, L1.2.2): what accuracy costs in operations, parameters, memory and time.

Claims [Canziani et al., arXiv:1605.07678, 2016]: AlexNet has few operations, heavy memory and low accuracy; VGG is the
heaviest in computation and memory; GoogLeNet is the most efficient of AlexNet, VGG, GoogLeNet and ResNet, which here
means accuracy per parameter (the paper's Figure 10); the number of operations predicts the time.

Operations, parameters and activation memory are counted in our own models. The errors are published ones: they were
measured with one crop or with ten, in different papers, so a difference of one per cent means nothing; the table names
the source of each. Time and memory are measured here, for one image.
"""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import nn
from ...autograd import no_grad
from ...creation import randn
from ...models import create_model
from ...nn.summary import FLOAT32_BYTES
from ...random import manual_seed
from ...tensors import Tensor
from ...utils import style
from ..analyses.efficiency import accuracy_density, cost, pareto_front
from ..base import Figure, Settings, Table

FAMILIES = {
    "AlexNet": ("alexnet",),
    "VGG": ("vgg11", "vgg13", "vgg16", "vgg19"),
    "GoogLeNet": ("googlenet",),
    "ResNet": ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    "DenseNet": ("densenet121", "densenet169", "densenet201"),
    "SENet": ("seresnet50", "seresnet101", "seresnet152"),
    "EfficientNet": tuple(f"efficientnet_b{i}" for i in range(8)),
}
COMPARED = ("AlexNet", "VGG", "GoogLeNet", "ResNet")  # in L3.1

# The paper gives no top-1 error of GoogLeNet: top-1 and top-5 error in per cent of its best-known reproduction.
REPRODUCED = {"googlenet": (31.3, 11.1, "BVLC's GoogLeNet in Caffe: validation, one crop")}

MEASURED = ("alexnet", "vgg16", "googlenet", "resnet18", "resnet50", "densenet121", "seresnet50", "efficientnet_b0")
QUICK_MEASURED = ("alexnet", "googlenet", "resnet18")
MIB = 2**20


@dataclass
class Costs:
    """The data of the figure, one entry per network.

    ``names``, ``families``, ``sources``: strings; ``multiply_adds``, ``parameters``, ``activation_bytes``: for one
    image of the paper's size; ``accuracy``: top-1 in per cent; ``seconds``, ``peak_bytes``: measured, NaN if not
    measured: time of a forward pass (the fastest of some), and the most memory of arrays other than the parameters.
    """

    names: np.ndarray
    families: np.ndarray
    multiply_adds: np.ndarray
    parameters: np.ndarray
    activation_bytes: np.ndarray
    accuracy: np.ndarray
    sources: np.ndarray
    seconds: np.ndarray
    peak_bytes: np.ndarray

    @property
    def density(self) -> np.ndarray:
        """Per cent of accuracy per million parameters."""
        return accuracy_density(self.accuracy.tolist(), self.parameters.tolist())

    def front(self, families: tuple[str, ...] = tuple(FAMILIES)) -> list[int]:
        """The networks of these families that no other network of them beats in both accuracy and operations."""
        own = np.flatnonzero(np.isin(self.families, families))
        return own[pareto_front(self.multiply_adds[own].tolist(), self.accuracy[own].tolist())].tolist()


def forward_time(model: nn.Module, image: Tensor, repeats: int) -> float:
    """Seconds of the fastest of some forward passes, after one that is not measured."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model(image).cpu()  # on a GPU this waits for the result
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def forward_memory(model: nn.Module, image: Tensor) -> float:
    """The most bytes that were allocated at once in a forward pass.

    Python's tracemalloc counts NumPy's arrays; the CPU backend counts its own, which are the large ones.
    """
    from ...backend.cpu import memory

    tracemalloc.start()
    try:
        with memory.counted() as large:
            model(image)
        return float(tracemalloc.get_traced_memory()[1] + large[0])
    finally:
        tracemalloc.stop()


def compute(settings: Settings) -> Costs:
    """Count all networks, and run some."""
    settings.progress("counting operations, parameters and memory of all networks")
    costs = [cost(name) for names in FAMILIES.values() for name in names]
    seconds, peak = np.full((2, len(costs)), np.nan)
    manual_seed(settings.seed)
    for i, row in enumerate(costs):
        if row.name in (QUICK_MEASURED if settings.quick else MEASURED):
            settings.progress(f"running {row.name}")
            model = create_model(row.name).to(settings.device).eval()
            image = randn(1, 3, row.input_size, row.input_size).to(settings.device)
            with no_grad():
                seconds[i] = forward_time(model, image, repeats=1 if settings.quick else 3)
                if settings.device == "cpu":
                    peak[i] = forward_memory(model, image)
    scores = [REPRODUCED.get(row.name, (row.top1_error, None, row.source)) for row in costs]
    return Costs(
        names=np.array([row.name for row in costs]),
        families=np.array([family for family, names in FAMILIES.items() for _ in names]),
        multiply_adds=np.array([row.multiply_adds for row in costs]),
        parameters=np.array([row.parameters for row in costs]),
        activation_bytes=np.array([row.activation_bytes for row in costs]),
        accuracy=np.array([100 - score[0] for score in scores if score[0] is not None]),
        sources=np.array([score[2] for score in scores]),
        seconds=seconds,
        peak_bytes=peak,
    )


def table(data: Costs) -> Table:
    """Everything that is counted, published and measured."""
    rows, front = [], data.front()
    for i, name in enumerate(data.names.tolist()):
        measured = np.isfinite(data.seconds[i])
        rows.append(
            [
                name,
                f"{data.multiply_adds[i] / 1e9:.2f}",
                f"{data.parameters[i] / 1e6:.1f}",
                f"{data.activation_bytes[i] / MIB:.0f}",
                f"{data.accuracy[i]:.1f}",
                f"{data.density[i]:.2f}",
                "yes" if i in front else "",
                f"{1000 * data.seconds[i]:.0f}" if measured else "",
                f"{data.peak_bytes[i] / MIB:.0f}" if np.isfinite(data.peak_bytes[i]) else "",
                str(data.sources[i]),
            ]
        )
    header = ("network", "1e9 mult-adds", "1e6 params", "MiB of maps", "top-1 %", "% per 1e6 params")
    return (*header, "not beaten", "ms", "peak MiB", "source of the accuracy"), rows


def verdict(data: Costs) -> str:
    """What was seen."""
    compared = np.isin(data.families, COMPARED)

    def most(values: np.ndarray) -> str:
        return str(data.names[np.argmax(np.where(compared, values, -np.inf))])

    def named(names: list[int]) -> str:
        return ", ".join(data.names[names])

    measured = np.isfinite(data.seconds)
    alike = np.corrcoef(np.log(data.multiply_adds[measured]), np.log(data.seconds[measured]))[0, 1]
    weights = FLOAT32_BYTES * data.parameters
    return (
        f"of {', '.join(COMPARED)}: most operations {most(data.multiply_adds)}, most parameters {most(weights)}, most "
        f"activations {most(data.activation_bytes)}, most bytes of both {most(weights + data.activation_bytes)}, most "
        f"accurate per parameter {most(data.density)}, most accurate {most(data.accuracy)}, not beaten in accuracy "
        f"and operations {named(data.front(COMPARED))}; of all families not beaten {named(data.front())}; log time and "
        f"log operations of the {measured.sum()} networks measured here correlate with {alike:.2f}"
    )


def draw(data: Costs) -> Any:
    """The paper's picture, accuracy per parameter, and time and memory as measured."""
    drawing = style.picture(9.2)
    panels = drawing.subplot_mosaic([["accuracy", "density"], ["time", "memory"]], height_ratios=[1.25, 1])
    looks = [style.FAMILIES[str(family)] for family in data.families]
    _draw_accuracy(panels["accuracy"], data)

    density, order = panels["density"], np.argsort(data.density)
    density.barh(data.names[order], data.density[order], color=[looks[i].colour for i in order])
    density.tick_params(axis="y", labelsize=8)
    density.set(
        title="accuracy per parameter",
        xlabel="top-1 accuracy per million parameters (%)",
        ylim=(-0.6, len(order) - 0.4),
    )

    timing, measured = panels["time"], np.flatnonzero(np.isfinite(data.seconds))
    for i in measured.tolist():
        place = data.multiply_adds[i] / 1e9, 1000 * data.seconds[i]
        timing.plot(*place, **looks[i].line(linestyle="none", markersize=6))
        style.beside(timing, str(data.names[i]), place, TIME_LABELS.get(str(data.names[i]), (8, 3)))
    timing.set(
        title="time of one image, measured", xlabel="multiply-adds (1e9)", ylabel="ms", xscale="log", yscale="log"
    )
    timing.margins(0.15)
    if measured.size:  # none is of networks that a student's function only counts
        timing.set_ylim(1000 * np.nanmin(data.seconds) / 1.6, 1000 * np.nanmax(data.seconds) * 1.6)
    style.readable(timing.xaxis)
    style.readable(timing.yaxis)

    memory, places, height = panels["memory"], np.arange(len(measured)), 0.27
    for shift, (values, colour, hatch, label) in enumerate(
        (
            (FLOAT32_BYTES * data.parameters, style.BLUE, "", "parameters"),
            (data.activation_bytes, style.FAINT, "", "activations"),
            (data.peak_bytes, style.ORANGE, "////", "peak without parameters"),
        )
    ):
        memory.barh(
            places + (shift - 1) * height,
            values[measured] / MIB,
            height,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label=label,
        )
    memory.set_yticks(places, data.names[measured])
    memory.invert_yaxis()
    memory.set(title="memory of one image, float32", xlabel="MiB (the peak is measured)")
    memory.legend(loc="lower right")
    drawing.suptitle("What accuracy costs (L3.1)")
    return drawing


def _draw_accuracy(axes: Any, data: Costs) -> None:
    """Accuracy against operations; what is nowhere beaten is joined."""
    operations = data.multiply_adds / 1e9
    for families in (tuple(FAMILIES), COMPARED):
        front = data.front(families)
        axes.plot(operations[front], data.accuracy[front], color=style.SOFT, linewidth=0.8, linestyle=":", zorder=1)
    for family, look in style.FAMILIES.items():
        own = data.families == family
        sizes = data.parameters[own] / 2e5
        axes.scatter(operations[own], data.accuracy[own], s=sizes, color=look.colour, alpha=0.3, linewidths=0)
        one_crop = np.array(["one crop" in source for source in data.sources[own]], bool)
        for shown, fill in ((one_crop, "full"), (~one_crop, "none")):
            places = operations[own][shown], data.accuracy[own][shown]
            axes.plot(*places, **look.line(linestyle="none", fillstyle=fill))
    for i, name in enumerate(map(str, data.names)):
        if name in ACCURACY_LABELS:
            style.beside(axes, name, (operations[i], data.accuracy[i]), ACCURACY_LABELS[name])
    axes.set(
        title="areas: parameters; filled: one crop",
        xlabel="multiply-adds of one image (1e9)",
        ylabel="published top-1 accuracy (%)",
        xscale="log",
    )
    style.readable(axes.xaxis)


# Where the names stand that would collide: points to the right and up.
ACCURACY_LABELS = {
    "alexnet": (10, -5), "vgg16": (-4, -16), "googlenet": (8, -4), "resnet18": (9, -6), "resnet50": (6, -12),
    "resnet152": (4, -16),
    "densenet121": (-62, 5), "efficientnet_b0": (9, -7), "efficientnet_b7": (-66, -20),
}  # fmt: skip
TIME_LABELS = {
    "alexnet": (-18, 8),
    "densenet121": (-70, 2),
    "resnet18": (8, -10),
    "resnet50": (8, -8),
    "vgg16": (-20, 9),
}


FIGURE = Figure(
    name="cost",
    lecture=("L1.2.2", "L3.1"),
    claim="VGG is the heaviest, AlexNet cheap and weak, GoogLeNet gets most out of its parameters, ResNet in between",
    result=Costs,
    compute=compute,
    table=table,
    draw=draw,
    verdict=verdict,
)
