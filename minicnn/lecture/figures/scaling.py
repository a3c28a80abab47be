"""Figure ``scaling`` (L2.3.3): a network made larger in width, depth or resolution, or in all three together.

Claim [Tan and Le, ICML 2019, Figures 3 and 8]: each direction helps and soon helps less; for equal multiply-adds it is
best to scale all three together.

The base is a small residual network on digits of 4 x 4 pixels, made from the 8 x 8 ones by averaging. Step phi may
spend 2^phi times its multiply-adds: on channels alone (times 2^(phi/2)), on blocks alone (2^phi), on pixels alone (side
times 2^(phi/2)), or by the paper's compound rule. Sizes are whole numbers, so the multiply-adds are counted, not
assumed. Above 8 x 8 the images are enlarged and contain nothing new. The table also has EfficientNet-B0 to B7, counted
in our own models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import nn
from ...autograd import no_grad
from ...models import create_model
from ...models.efficientnet import ERRORS, SCALING, compound_scaling
from ...models.resnet import BasicBlock, conv1x1, conv3x3
from ...nn.summary import evaluating, multiply_adds
from ...random import manual_seed
from ...tensors import Tensor
from ...utils import style
from ..base import Figure, Settings, Size, Table
from ..training import Images, digit_images, fit

CHANNELS, BLOCKS, SIDE = 8, 2, 4  # of the base
WAYS = ("width", "depth", "resolution", "compound")


@dataclass(frozen=True)
class Steps(Size):
    """``phis``: the steps of scaling; ``networks``: the EfficientNets that are counted."""

    phis: tuple[int, ...] = ()


FULL = Steps(seeds=3, epochs=6, networks=tuple(SCALING), phis=(1, 2, 3))
QUICK = Steps(epochs=2, images=384, networks=tuple(SCALING)[:3], phis=(1, 2))


class SmallNet(nn.Module):
    """Two stages of ``blocks`` residual blocks, the second with twice the ``channels`` on half the side.

    (N, 1, H, W) -> (N, 10).
    """

    def __init__(self, channels: int = CHANNELS, blocks: int = BLOCKS) -> None:
        super().__init__()
        wide = 2 * channels
        self.stem = nn.Sequential(conv3x3(1, channels), nn.BatchNorm2d(channels), nn.ReLU())
        self.layer1 = nn.Sequential(*(BasicBlock(channels, channels) for _ in range(blocks)))
        downsample = nn.Sequential(conv1x1(channels, wide, 2), nn.BatchNorm2d(wide))
        later = (BasicBlock(wide, wide) for _ in range(blocks - 1))
        self.layer2 = nn.Sequential(BasicBlock(channels, wide, 2, downsample), *later)
        self.fc = nn.Linear(wide, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.stem(x)))  # (N, 2 * channels, H/2, W/2)
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


@dataclass
class Scaling:
    """The data of the figure, one row per trained network: the base first, then every way with every phi.

    ``way`` (R,) and ``phi`` (R,): how it was scaled. ``sizes`` (R, 3): channels, blocks per stage, side of the image.
    ``macs`` (R,): multiply-adds of an image. ``losses``, ``errors`` (R, seeds): test loss and test error in per cent.
    ``efficientnets`` (E,), ``factors`` (E, 3) of width and depth and side of the image, ``parameters``,
    ``efficientnet_macs`` (E,): EfficientNet-B0 and larger, counted.
    """

    way: np.ndarray
    phi: np.ndarray
    sizes: np.ndarray
    macs: np.ndarray
    losses: np.ndarray
    errors: np.ndarray
    efficientnets: np.ndarray
    factors: np.ndarray
    parameters: np.ndarray
    efficientnet_macs: np.ndarray


def scaled(way: str, phi: float) -> tuple[int, int, int]:
    """Channels, blocks and side of the base, scaled in one of ``WAYS`` to about 2^phi times the multiply-adds."""
    depth, width, resolution = {
        "width": (1.0, 2 ** (phi / 2), 1.0),
        "depth": (2.0**phi, 1.0, 1.0),
        "resolution": (1.0, 1.0, 2 ** (phi / 2)),
        "compound": compound_scaling(phi),
    }[way]
    return round(CHANNELS * width), round(BLOCKS * depth), round(SIDE * resolution)


def resized(data: Images, side: int) -> Images:
    """The images (N, 1, 8, 8) at ``side`` x ``side``: each pixel is the mean of the area that it covers."""
    images, labels = data
    weights = _overlap(images.shape[-1], side)
    return (weights @ images @ weights.T).astype(np.float32), labels


def _overlap(old: int, new: int) -> np.ndarray:
    """(new, old): the share of each new pixel of a line that each old pixel covers; rows sum to 1."""
    ends = np.arange(new + 1) * old / new
    low, high = np.maximum(ends[:-1, None], np.arange(old)), np.minimum(ends[1:, None], np.arange(1, old + 1))
    return np.clip(high - low, 0, None) * new / old


def loss_and_error(model: nn.Module, data: Images) -> tuple[float, float]:
    """Mean cross-entropy and error in per cent on images that were not trained on."""
    device = next(model.parameters()).device
    labels = Tensor(data[1]).to(device)
    with evaluating(model), no_grad():
        logits = model(Tensor(data[0]).to(device))
        wrong = logits.argmax(1).cpu().numpy() != data[1]
        return nn.functional.cross_entropy(logits, labels).item(), 100 * float(wrong.mean())


def compute(settings: Settings) -> Scaling:
    """Train the base and every scaled network with every seed; count the EfficientNets."""
    size = QUICK if settings.quick else FULL
    plans = [("base", 0), *((way, phi) for way in WAYS for phi in size.phis)]
    sizes = [scaled(way, phi) if phi else (CHANNELS, BLOCKS, SIDE) for way, phi in plans]
    train, test = (digit_images(split, size.images) for split in ("train", "test"))
    found = np.empty((2, len(plans), size.seeds))
    for row, ((way, phi), (channels, blocks, side)) in enumerate(zip(plans, sizes, strict=True)):
        for i in range(size.seeds):
            settings.progress(f"{way} {phi}: {channels} channels, {blocks} blocks, {side}x{side}, seed {i}")
            manual_seed(settings.seed + i)
            model = SmallNet(channels, blocks).to(settings.device)
            fit(model, resized(train, side), size.epochs, np.random.default_rng(settings.seed + i))
            found[:, row, i] = loss_and_error(model, resized(test, side))
    macs = [multiply_adds(SmallNet(channels, blocks), (1, side, side)) for channels, blocks, side in sizes]

    counts = []
    for name in size.networks:
        settings.progress(f"counting {name}")
        efficientnet, side = create_model(name), SCALING[name][2]
        parameters = sum(p.numel() for p in efficientnet.parameters())
        counts.append((parameters, multiply_adds(efficientnet, (3, side, side))))
    return Scaling(
        way=np.array([way for way, _ in plans]),
        phi=np.array([phi for _, phi in plans]),
        sizes=np.array(sizes),
        macs=np.array(macs),
        losses=found[0],
        errors=found[1],
        efficientnets=np.array(size.networks),
        factors=np.array([SCALING[name][:3] for name in size.networks]),
        parameters=np.array([parameters for parameters, _ in counts]),
        efficientnet_macs=np.array([macs for _, macs in counts]),
    )


def table(data: Scaling) -> Table:
    """The networks trained here, then EfficientNet with the paper's top-1 errors on ImageNet."""
    header = (
        "network",
        "width",
        "depth",
        "image",
        "parameters",
        "mult-adds",
        "test loss",
        "test error %",
        "paper's error %",
    )
    rows: list[list[Any]] = []
    for i, (channels, blocks, side) in enumerate(data.sizes):
        count = sum(p.numel() for p in SmallNet(int(channels), int(blocks)).parameters())
        loss, error = data.losses[i].mean(), data.errors[i].mean()
        scores = [round(float(loss), 4), round(float(error), 2)]
        name = f"{data.way[i]} {data.phi[i]}" if data.phi[i] else "base"
        rows.append([name, int(channels), int(blocks), int(side), count, int(data.macs[i]), *scores, ""])
    for i, name in enumerate(map(str, data.efficientnets)):
        width, depth, side = data.factors[i]
        counts = [int(data.parameters[i]), int(data.efficientnet_macs[i])]
        rows.append([name, float(width), float(depth), int(side), *counts, "", "", ERRORS[name][0]])
    return header, rows


def loss_at(data: Scaling, way: str, macs: float) -> float:
    """The mean test loss of one of ``WAYS`` at ``macs``, interpolated between its networks over the logarithm."""
    rows = [0, *np.flatnonzero(data.way == way)]
    return float(np.interp(np.log(macs), np.log(data.macs[rows]), data.losses[rows].mean(axis=1)))


def verdict(data: Scaling) -> str:
    """What was seen."""
    budget = min(data.macs[data.way == way].max() for way in WAYS)  # that all four ways can spend
    losses = {way: loss_at(data, way, budget) for way in WAYS}
    best = min(losses, key=losses.__getitem__)
    base = float(data.losses[0].mean())
    reached = ", ".join(f"{way} {loss:.3f}" for way, loss in losses.items())
    return (
        f"test loss {base:.3f} at the start, and with {budget / data.macs[0]:.1f} times the multiply-adds {reached}: "
        f"{best} did best here"
    )


def draw(data: Scaling) -> Any:
    """Test loss and error against multiply-adds, and EfficientNet's parameters and multiply-adds."""
    drawing = style.picture(6.6)
    panels = drawing.subplot_mosaic([["loss", "error"], ["efficientnet", "efficientnet"]], height_ratios=[1.25, 1])
    for axes, values, label in (
        (panels["loss"], data.losses, "test loss"),
        (panels["error"], data.errors, "test error (%)"),
    ):
        ends = []
        axes.set(xscale="log", xlabel="multiply-adds (thousands)", title=label, ylim=(0, 1.05 * values.max()))
        for way, look in zip(WAYS, style.LOOKS, strict=False):
            rows = [0, *np.flatnonzero(data.way == way)]
            axes.plot(data.macs[rows] / 1e3, values[rows].mean(axis=1), **look.line())
            dots = np.repeat(data.macs[rows] / 1e3, values.shape[1])
            axes.scatter(dots, values[rows], s=8, color=look.colour, alpha=0.4, linewidths=0)
            ends.append((way, data.macs[rows[-1]] / 1e3, values[rows[-1]].mean()))
        style.ticks(axes.xaxis, [round(data.macs[0] / 1e3) * 2**step for step in range(int(data.phi.max()) + 1)])
        style.label_ends(axes, ends)
    axes, errors = panels["efficientnet"], np.array([ERRORS[str(name)][0] for name in data.efficientnets])
    axes.plot(data.efficientnet_macs / 1e9, errors, **style.FAMILIES["EfficientNet"].line())
    for name, macs, error in zip(data.efficientnets, data.efficientnet_macs, errors, strict=True):
        style.beside(axes, str(name)[-2:].upper(), (macs / 1e9, error))
    axes.set(xscale="log", xlabel="multiply-adds (10^9), counted here", ylabel="ImageNet top-1 error (%)")
    axes.set_title("EfficientNet, errors of the paper")
    style.ticks(
        axes.xaxis, [tick for tick in (0.4, 0.7, 1, 2, 4, 10, 20, 40) if tick <= data.efficientnet_macs.max() / 1e9]
    )
    drawing.suptitle("Scaling (L2.3.3): a small residual network, on digits from 4x4 pixels on")
    return drawing


FIGURE = Figure(
    name="scaling",
    lecture=("L2.3.3",),
    claim="width, depth and resolution each help; together they help most for the multiply-adds",
    result=Scaling,
    compute=compute,
    table=table,
    draw=draw,
    verdict=verdict,
)
