"""Figure ``auxiliary`` (L2.1.2, L2.1.5): the gradient from GoogLeNet's auxiliary classifiers, the savings of its 1x1.

Claims [Szegedy et al., CVPR 2015]: classifiers on the modules 4a and 4d add gradient in the lower layers, "encouraging
discrimination in the lower stages" and preventing it from vanishing (section 5); 1x1 convolutions before the 3x3 and
5x5 ones limit the cost of a module (section 4).

The whole network, untrained, sees digits enlarged to 64 x 64; its dropout is off, so that the two losses, with and
without auxiliary terms (weight 0.3), differ in nothing else. The gradient is measured at the output of every stage and
module. With He's initialisation it arrives anyway; with Glorot's ("Xavier"), which was usual then, every ReLU reduces
it. The effect of the auxiliary terms later in training is not shown here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ... import nn
from ...models.googlenet import AUXILIARY_WEIGHT, TABLE_1, GoogLeNet, Inception, NaiveInception, auxiliary_loss
from ...nn.summary import summary
from ...random import manual_seed
from ...tensors import Tensor
from ...utils import style
from ..analyses.gradient_flow import output_gradient_norms
from ..base import Figure, Settings, Size, Table
from ..training import digit_images

LAYERS = ("conv1", "conv2", "conv3", *(row.here[0] for row in TABLE_1 if row.filters is not None))
BELOW_AUX1, BELOW_AUX2 = LAYERS.index("inception4a"), LAYERS.index("inception4d")  # the last layer that feeds each
MODULES = LAYERS[3:]
INITS = ("He", "Xavier")
IMAGE_SIDE = 64


FULL = Size(seeds=5, images=16)
QUICK = Size(images=4)


@dataclass
class Auxiliary:
    """The data of the figure.

    ``norms`` (inits, 2, seeds, layers): gradient norm at the output of each of ``LAYERS``, without and with the
    auxiliary losses; ``multiply_adds``, ``parameters``, ``channels`` (2, modules): of each of ``MODULES``, naive and
    reduced, for a 224 x 224 image; ``channels`` are those of its output.
    """

    norms: np.ndarray
    multiply_adds: np.ndarray
    parameters: np.ndarray
    channels: np.ndarray

    @property
    def ratios(self) -> np.ndarray:
        """(inits, layers): gradient with the auxiliary losses over that without, in the geometric mean over seeds."""
        return np.exp(np.log(self.norms[:, 1] / self.norms[:, 0]).mean(axis=1))


def network(init: str) -> GoogLeNet:
    """A fresh GoogLeNet for digits, in training mode and without dropout."""
    model = GoogLeNet(10, in_channels=1, dropout=0.0, dropout_aux=0.0)
    if init == "Xavier":
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_normal_(module.weight)
    return model


def module_costs() -> np.ndarray:
    """(3, 2, modules): multiply-adds, parameters and output channels of each module, naive and reduced.

    Both see the input that the module has in the paper. In a network of naive modules the inputs would get wider and
    wider.
    """
    costs = []
    for before, row in pairwise(TABLE_1):
        if row.filters is not None:
            in_channels, side = before.output
            ch1x1, _, ch3x3, _, ch5x5, _ = row.filters
            with nn.init.skip():
                pair = NaiveInception(in_channels, ch1x1, ch3x3, ch5x5), Inception(in_channels, *row.filters)
            counted = [summary(module, (in_channels, side, side)) for module in pair]
            channels = [ch1x1 + ch3x3 + ch5x5 + in_channels, row.output[0]]
            costs.append([[c.multiply_adds for c in counted], [c.parameters for c in counted], channels])
    return np.array(costs).transpose(1, 2, 0)


def compute(settings: Settings) -> Auxiliary:
    """Send both losses' gradients through the network, and count both kinds of modules."""
    size = QUICK if settings.quick else FULL
    images, labels = digit_images("train", size.images, size=IMAGE_SIDE)
    x, targets = Tensor(images).to(settings.device), Tensor(labels).to(settings.device)
    norms = np.empty((len(INITS), 2, size.seeds, len(LAYERS)))
    for (i, init), seed in ((pair, seed) for pair in enumerate(INITS) for seed in range(size.seeds)):
        settings.progress(f"gradient through GoogLeNet, {init} initialisation, seed {seed + 1} of {size.seeds}")
        manual_seed(1000 * settings.seed + seed)
        model = network(init).to(settings.device)
        for j, weight in enumerate((0.0, AUXILIARY_WEIGHT)):
            loss = partial(auxiliary_loss, weight=weight)
            norms[i, j, seed] = list(output_gradient_norms(model, LAYERS, x, targets, loss).values())
    settings.progress("counting naive and reduced modules")
    return Auxiliary(norms, *module_costs())


def table(data: Auxiliary) -> Table:
    """The gradient at each layer, and each module's costs, naive and reduced."""
    rows: list[list[Any]] = []
    for layer, name in enumerate(LAYERS):
        row: list[Any] = [name.removeprefix("inception")]
        for i in range(len(INITS)):
            without, with_ = np.exp(np.log(data.norms[i, :, :, layer]).mean(axis=1))
            row += [f"{without:.2g}", f"{with_:.2g}", f"{data.ratios[i, layer]:.2f}"]
        if name in MODULES:
            m = MODULES.index(name)
            row += [
                "/".join(f"{count / unit:{form}}" for count in counts[:, m])
                for counts, unit, form in (
                    (data.multiply_adds, 1e6, ".0f"), (data.parameters, 1e6, ".1f"), (data.channels, 1, ".0f")
                )
            ]  # fmt: skip
        else:
            row += ["", "", ""]
        rows.append(row)
    header = ["gradient at", *(f"{init} {what}" for init in INITS for what in ("main loss", "all losses", "ratio"))]
    return [*header, "naive/ reduced 1e6 mult-adds", "1e6 params", "channels"], rows


def verdict(data: Auxiliary) -> str:
    """What was seen."""
    seen = [
        f"{init} {data.ratios[i, 0]:.1f} times at {LAYERS[0]}, {data.ratios[i, BELOW_AUX1]:.1f} times at 4a"
        for i, init in enumerate(INITS)
    ]
    operations, parameters = (counts.sum(axis=1) for counts in (data.multiply_adds, data.parameters))
    return (
        f"with the auxiliary losses the gradient is larger, {', '.join(seen)}; the nine modules take "
        f"{operations[0] / 1e9:.2f}e9 multiply-adds naive and {operations[1] / 1e9:.2f}e9 reduced, and "
        f"{parameters[0] / 1e6:.1f}e6 and {parameters[1] / 1e6:.1f}e6 parameters, on the inputs of the paper"
    )


def draw(data: Auxiliary) -> Any:
    """The gradient along the network for both initialisations, and the modules' costs."""
    drawing = style.picture(6.8)
    (gradient, ratio), (operations, parameters) = drawing.subplots(2, 2)
    places = np.arange(len(LAYERS))
    names = [name.removeprefix("inception") for name in LAYERS]
    starts: list[tuple[str, float, float]] = []
    for i, (init, look) in enumerate(zip(INITS, style.LOOKS, strict=False)):
        for j, (dash, label) in enumerate((("--", "main loss"), ("-", "all losses"))):
            middle = np.exp(np.log(data.norms[i, j]).mean(axis=0))
            gradient.semilogy(places, middle, **look.line(linestyle=dash, marker=look.marker if j else ""))
            starts.append((f"{init}, {label}", 0, middle[0]))
        ratio.plot(places, data.ratios[i], **look.line(linestyle="-"))
    ratio.axhline(1, color=style.SOFT, linewidth=0.8)
    for axes in (gradient, ratio):
        for place, label in ((BELOW_AUX1, "aux1"), (BELOW_AUX2, "aux2")):
            axes.axvline(place, color=style.SOFT, linestyle=":", linewidth=1)
            axes.text(place, 1, f" {label}", va="top", transform=axes.get_xaxis_transform())
        axes.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor")
    gradient.set(title="the gradient, from right to left", ylabel="norm at the layer's output")
    ratio.set(title="what the auxiliary losses add", ylabel="all losses / main loss")
    gradient.set_xlim(-6, len(LAYERS) - 0.5)
    ratio.set_xlim(-2.5, len(LAYERS) - 0.5)
    style.readable(gradient.yaxis)
    style.label_ends(ratio, [(init, 0, r) for init, r in zip(INITS, data.ratios[:, 0], strict=True)], left=True)
    style.label_ends(gradient, starts, left=True)

    modules, width = np.arange(len(MODULES)), 0.4
    for axes, counts, corner in (
        (operations, data.multiply_adds, "upper right"),
        (parameters, data.parameters, "upper left"),
    ):
        for j, (label, colour, hatch) in enumerate(
            (("naive", style.ORANGE, ""), ("reduced by 1x1", style.BLUE, "///"))
        ):
            axes.bar(
                modules + (j - 0.5) * width,
                counts[j] / 1e6,
                width,
                color=colour,
                label=label,
                hatch=hatch,
                edgecolor="white",
            )
        axes.set_xticks(modules, names[3:])
        axes.legend(loc=corner)
    operations.set(title="multiply-adds of each module (L2.1.2)", ylabel="millions, image of 224 x 224")
    parameters.set(title="parameters of each module", ylabel="millions")
    drawing.suptitle(f"Auxiliary classifiers (L2.1.5): untrained GoogLeNet, digits of {IMAGE_SIDE} x {IMAGE_SIDE}")
    return drawing


FIGURE = Figure(
    name="auxiliary",
    lecture=("L2.1.2", "L2.1.5"),
    claim="auxiliary classifiers bring gradient to the lower layers; 1x1 convolutions make the modules affordable",
    result=Auxiliary,
    compute=compute,
    table=table,
    draw=draw,
    verdict=verdict,
)
