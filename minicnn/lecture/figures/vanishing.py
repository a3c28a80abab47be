"""Figure ``vanishing`` (L1.2.1, L2.2.4): what happens to the gradient on its way through an untrained network.

Claims: in a plain network each layer changes the gradient by a factor, so that it vanishes or explodes with depth
unless the initialisation keeps the factor at 1 (He et al., "Delving deep into rectifiers", ICCV 2015); and a shortcut
passes the gradient on undiminished (He et al., CVPR 2016).

Networks of up to 100 convolutions (3x3, 16 filters, ReLU, no pooling) see a batch of 8x8 digits once, untrained. The
gradient of the loss is measured after every second convolution, where a shortcut ends in the networks that have them.
The theory for networks without norm is ``gradient_flow.expected_gain``, reduced by the loss at the padding of zeros;
for batch norm it is Yang et al., "A Mean Field Theory of Batch Normalization", ICLR 2019, arXiv:1902.08129: with ReLUs
the gradient of a plain network *grows* by sqrt(pi / (pi - 1)) = 1.21 per layer, whatever the weights are.

Everything is computed in float64; in float32 the smallest gradients here would be zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import nn
from ...random import manual_seed
from ...tensors import Tensor
from ...utils import style
from ..analyses.gradient_flow import behaviour, expected_gain, gain_per_layer, output_gradient_norms
from ..base import Figure, Settings, Size, Table
from ..training import digit_images

CHANNELS, SIDE, KERNEL = 16, 8, 3
FAN = KERNEL**2 * CHANNELS  # in and out

DEVIATIONS = {
    "N(0, 0.01²)": 0.01,  # AlexNet's
    "N(0, 0.2²)": 0.2,
    "Xavier": math.sqrt(2 / (FAN + FAN)),
    "He": math.sqrt(2 / FAN),
}


@dataclass(frozen=True)
class Kind:
    """How the networks of one row are built."""

    init: str
    norm: bool = False
    shortcut: bool = False

    @property
    def name(self) -> str:
        """The name in tables and legends."""
        return self.init + ", batch norm" * self.norm + ", shortcuts" * self.shortcut


KINDS = (
    *(Kind(init) for init in DEVIATIONS),
    Kind("N(0, 0.01²)", norm=True),
    Kind("He", norm=True),
    Kind("N(0, 0.01²)", shortcut=True),
    Kind("He", shortcut=True),
    Kind("He", norm=True, shortcut=True),
)


FULL = Size(seeds=5, images=32, depths=(10, 20, 50, 100))  # depths: convolutions, an even number
QUICK = Size(seeds=2, images=16, depths=(10, 30))


class Pair(nn.Module):
    """Two convolutions with ReLUs, (N, 16, 8, 8) -> (N, 16, 8, 8); with a shortcut, ResNet's basic block."""

    def __init__(self, norm: bool, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(CHANNELS, CHANNELS, KERNEL, padding=1, bias=False)
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, KERNEL, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(CHANNELS) if norm else nn.Identity()
        self.bn2 = nn.BatchNorm2d(CHANNELS) if norm else nn.Identity()
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out = nn.functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return nn.functional.relu(out + x if self.shortcut else out)


def network(kind: Kind, depth: int) -> nn.Sequential:
    """One convolution that widens the image, ``depth`` convolutions in pairs called "1", "2", ..., and a classifier."""
    stem = nn.Conv2d(1, CHANNELS, KERNEL, padding=1, bias=False)
    pairs = [Pair(kind.norm, kind.shortcut) for _ in range(depth // 2)]
    model = nn.Sequential(stem, *pairs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 10))
    nn.init.kaiming_normal_(stem.weight, nonlinearity="linear")  # so that all kinds see the same digits
    for pair in pairs:
        for conv in (pair.conv1, pair.conv2):
            nn.init.normal_(conv.weight, std=DEVIATIONS[kind.init])
    return model.double()


def theory(kind: Kind) -> float | None:
    """The factor per layer that the papers predict far from both ends, or None if they predict none.

    Without norm, a part of the gradient is lost to the zeros around the map: its distribution over the map converges to
    the leading eigenvector of the 3x3 box sum, whose eigenvalue is (1 + 2 cos(pi / 9))^2 on an 8x8 map and would be 9
    without an edge.
    """
    if kind.shortcut:
        return None
    if kind.norm:
        return math.sqrt(math.pi / (math.pi - 1))
    edge = (1 + 2 * math.cos(math.pi / (SIDE + 1))) / KERNEL  # the square root of both directions' factors
    return expected_gain(FAN, DEVIATIONS[kind.init]) * edge


@dataclass
class Vanishing:
    """The data of the figure.

    ``depths`` (D,): numbers of convolutions; ``norms`` (kinds, D, seeds, max depth / 2): gradient norm after each
    pair, from the input on, NaN after the last.
    """

    depths: np.ndarray
    norms: np.ndarray

    def gains(self) -> np.ndarray:
        """(kinds, D): the mean factor per layer, over all layers and seeds."""
        return np.array([[self._mean(kind, d, gain_per_layer) ** 0.5 for d in self._deep()] for kind in self._kinds()])

    def ratios(self) -> np.ndarray:
        """(kinds, D): gradient after the first pair over that after the last, in the geometric mean over seeds."""
        return np.array([[self._mean(kind, d, _ratio) for d in self._deep()] for kind in self._kinds()])

    def _kinds(self) -> range:
        return range(len(self.norms))

    def _deep(self) -> range:
        return range(len(self.depths))

    def _mean(self, kind: int, depth: int, measure: Callable[[Any], float]) -> float:
        pairs = int(self.depths[depth]) // 2
        return math.exp(np.mean([math.log(measure(norms[:pairs])) for norms in self.norms[kind, depth]]))


def _ratio(norms: np.ndarray) -> float:
    return norms[0] / norms[-1]


def compute(settings: Settings) -> Vanishing:
    """Build every network with every seed, and send the gradient of one loss through it."""
    size = QUICK if settings.quick else FULL
    images, labels = digit_images("train", size.images)
    x = Tensor(images.astype(np.float64)).to(settings.device)
    targets = Tensor(labels).to(settings.device)
    norms = np.full((len(KINDS), len(size.depths), size.seeds, max(size.depths) // 2), np.nan)
    for k, kind in enumerate(KINDS):
        settings.progress(f"{kind.name}: up to {max(size.depths)} layers, {size.seeds} seeds")
        for (d, depth), seed in ((pair, seed) for pair in enumerate(size.depths) for seed in range(size.seeds)):
            manual_seed(1000 * settings.seed + seed)
            model = network(kind, depth).to(settings.device)
            names = [str(i + 1) for i in range(depth // 2)]
            norms[k, d, seed, : depth // 2] = list(output_gradient_norms(model, names, x, targets).values())
    return Vanishing(np.array(size.depths), norms)


def table(data: Vanishing) -> Table:
    """For each kind the factor per layer, measured in the deepest networks and predicted, and its effect."""
    gains, ratios, deepest = data.gains(), data.ratios(), int(data.depths[-1])
    rows = []
    for kind, gain, ratio in zip(KINDS, gains, ratios, strict=True):
        expected = theory(kind)
        rows.append(
            [
                kind.name,
                f"{gain[-1]:.3f}",
                "" if expected is None else f"{expected:.3f}",
                *(f"{r:.1e}" for r in ratio),
                behaviour([ratio[-1], 1.0]),
            ]
        )
    depths = (f"first / last, {depth} layers" for depth in data.depths)
    return ("initialisation", "factor per layer", "in theory", *depths, f"with {deepest} layers it"), rows


def verdict(data: Vanishing) -> str:
    """What was seen."""
    ratios, deepest = data.ratios()[:, -1], int(data.depths[-1])
    said: dict[str, list[str]] = {"vanishes": [], "explodes": [], "survives": []}
    for kind, ratio in zip(KINDS, ratios, strict=True):
        said[behaviour([ratio, 1.0])].append(f"{kind.name} ({ratio:.0e})")
    return f"through {deepest} layers the gradient " + "; ".join(
        f"{what} with {' / '.join(kinds) if kinds else 'none'}" for what, kinds in said.items()
    )


def draw(data: Vanishing) -> Any:
    """The gradient against depth, and its ratio against the number of layers."""
    drawing = style.picture(5.2)
    left, right = drawing.subplots(1, 2)
    deepest = int(data.depths[-1])
    layers = 2 * np.arange(1, deepest // 2 + 1)
    ratios = data.ratios()
    for k, kind in enumerate(KINDS):
        look = _look(kind)
        relative = np.log10(data.norms[k, -1] / data.norms[k, -1][:, -1:])  # (seeds, pairs)
        middle, spread = relative.mean(axis=0), relative.std(axis=0)
        left.plot(layers, 10**middle, **look.line(markevery=(k, 9)))
        left.fill_between(layers, 10 ** (middle - spread), 10 ** (middle + spread), color=look.colour, alpha=0.15)
        right.plot(data.depths, ratios[k], **look.line())
        expected = theory(kind)
        if expected is not None:
            right.plot(data.depths, expected ** (data.depths - 2.0), "x", color=style.INK, markersize=6)
    for axes in (left, right):
        axes.set(yscale="log", ylim=(1e-25, 1e25))
        axes.set_yticks([10.0**power for power in range(-24, 25, 8)])
        axes.yaxis.minorticks_off()
        axes.axhspan(0.01, 100, color=style.FAINT, alpha=0.5, linewidth=0)
    left.set(
        title=f"{deepest} layers: from the last (right) to the first",
        xlabel="after layer",
        ylabel="gradient / gradient after the last layer",
    )
    right.set(
        title="the deeper, the worse (x: theory)",
        xlabel="layers of the network",
        ylabel="gradient at the start / at the end",
    )
    right.set_xticks(data.depths)
    labels = [kind.name + (f": {r:.0e}" if r < 1e-23 else "") for kind, r in zip(KINDS, ratios[:, -1], strict=True)]
    style.label_ends(right, [(label, deepest, max(r, 1e-23)) for label, r in zip(labels, ratios[:, -1], strict=True)])
    drawing.suptitle("Vanishing and exploding gradients (L1.2.1), untrained networks; grey: survives")
    return drawing


def _look(kind: Kind) -> style.Look:
    """The colour and marker of the initialisation; the dash of what is added to a plain network."""
    look = style.LOOKS[list(DEVIATIONS).index(kind.init)]
    dash = {(False, False): "-", (True, False): "--", (False, True): ":", (True, True): "-."}[kind.norm, kind.shortcut]
    return style.Look(look.colour, look.marker, dash)


FIGURE = Figure(
    name="vanishing",
    lecture=("L1.2.1", "L2.2.4"),
    claim="the gradient of a deep plain network vanishes or explodes; initialisation, norm and shortcuts let it live",
    result=Vanishing,
    compute=compute,
    table=table,
    draw=draw,
    verdict=verdict,
)
