"""Figure ``paths`` (L2.2.5): a residual network is a collection of paths, and the short ones carry the gradient.

Claims [Veit et al., NIPS 2016]: n blocks unravel into 2^n paths, most of them about n / 2 blocks long (its Figure 6a);
the gradient along a path falls fast with the path's length (6b), so that nearly all of the gradient comes through paths
much shorter than most (6c). Hence no block is indispensable: removing one, several or reordering them raises the
error of a trained ResNet smoothly, while removing any layer of a VGG destroys it (Figures 3 and 5).

A ResNet with 110 layers (54 blocks, as in the paper) and a VGG with 12 convolutions are trained on the 8x8 digits for a
few epochs. ``unravel.py`` and ``lesion.py`` say how the measurements are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import nn
from ...models.cifar_resnet import CifarResNet
from ...models.resnet import BasicBlock
from ...random import manual_seed
from ...tensors import Tensor
from ...utils import style
from ..analyses import lesion, unravel
from ..analyses.blocks import residual_blocks
from ..base import Figure, Settings, Size, Table
from ..training import Images, digit_images, fit

VGG_STAGES = ((16,) * 4, (32,) * 4, (64,) * 4)


@dataclass(frozen=True)
class Lesions(Size):
    """``samples`` paths of each length, each with a ``batch`` of images; ``draws`` of each random lesion.

    ``removed``, ``swaps``: how many blocks are removed or swapped in them.
    """

    samples: int = 1
    batch: int = 1
    draws: int = 1
    removed: tuple[int, ...] = ()
    swaps: tuple[int, ...] = ()


FULL = Lesions(
    epochs=8, depths=(110,), samples=6, batch=16, draws=4, removed=(1, 2, 5, 10, 20, 30), swaps=(1, 2, 5, 10, 20, 40)
)
QUICK = Lesions(epochs=4, images=400, depths=(20,), samples=4, batch=16, draws=2, removed=(1, 2, 4), swaps=(1, 4))


class SmallVGG(nn.Module):
    """VGG for 8x8 images: stages of 3x3 convolutions with norms, a max pooling between stages, one linear layer.

    (N, 1, H, W) -> (N, 10). ``layers`` are its convolutions with norm and ReLU, the units that are removed.
    """

    def __init__(self, stages: tuple[tuple[int, ...], ...] = VGG_STAGES) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.pooled = {sum(map(len, stages[:i])) for i in range(1, len(stages))}  # a pooling comes before these
        self.removable: list[str] = []  # the layers that keep the number of channels: the network runs without them
        channels = 1
        for filters in (filters for stage in stages for filters in stage):
            if filters == channels:
                self.removable.append(f"layers.{len(self.layers)}")
            conv = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            self.layers.append(nn.Sequential(conv, nn.BatchNorm2d(filters), nn.ReLU()))
            channels = filters
        self.fc = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            if i in self.pooled:
                x = nn.functional.max_pool2d(x, 2)
            x = layer(x)
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


@dataclass
class Paths:
    """The data of the figure. Errors are test errors in per cent.

    ``magnitudes`` (n + 1, samples): gradient norm at the images along single paths of length 0 ... n;
    ``resnet_error``, ``vgg_error``: of the whole networks; ``without_block`` (n,), ``without_layer`` (layers,): without
    one residual block, without one VGG layer; ``strided`` (n,): whether the block changes the shape; ``removed`` (R,)
    and ``without_several`` (R, draws): how many random blocks are missing, and the error; ``swaps`` (S,), ``tau`` and
    ``shuffled`` (S, draws): random swaps of blocks of one stage, Kendall's rank correlation of the order (mean over the
    stages), and the error.
    """

    magnitudes: np.ndarray
    resnet_error: float
    without_block: np.ndarray
    strided: np.ndarray
    vgg_error: float
    without_layer: np.ndarray
    removed: np.ndarray
    without_several: np.ndarray
    swaps: np.ndarray
    tau: np.ndarray
    shuffled: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """(n + 1,): the share of the gradient that comes along the paths of each length."""
        return unravel.share_by_length(len(self.magnitudes) - 1, self.magnitudes.mean(axis=1))


def trained(model: nn.Module, data: Images, size: Size, settings: Settings, name: str) -> nn.Module:
    """``model`` after ``size.epochs`` on the digits, in evaluation mode."""

    def report(epoch: int, loss: float, error: float) -> None:
        settings.progress(f"{name}: epoch {epoch} of {size.epochs}, training error {error:.1f} %")

    model.to(settings.device)
    fit(model, data, size.epochs, np.random.default_rng(settings.seed), lr=0.003, on_epoch=report)
    return model.eval()


def several_removed(
    model: nn.Module, counts: tuple[int, ...], draws: int, test: tuple[Tensor, Tensor], rng: np.random.Generator
) -> np.ndarray:
    """(counts, draws): the error without that many blocks, which are drawn again each time."""
    names = list(residual_blocks(model))
    errors = np.empty((len(counts), draws))
    for (row, draw), _ in np.ndenumerate(errors):
        with lesion.removed(model, rng.choice(names, counts[row], replace=False).tolist()):
            errors[row, draw] = lesion.error_rate(model, *test)
    return errors


def order_shuffled(
    model: nn.Module, swaps: tuple[int, ...], draws: int, test: tuple[Tensor, Tensor], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Both (swaps, draws): rank correlation and error after that many swaps of blocks of equal shape."""
    stages = [
        [name for name, block in residual_blocks(model).items() if name.startswith(stage) and block.downsample is None]
        for stage in ("layer1", "layer2", "layer3")
    ]
    stages = [stage for stage in stages if len(stage) > 1]
    tau, errors = np.empty((2, len(swaps), draws))
    for (row, draw), _ in np.ndenumerate(errors):
        order = lesion.random_swaps(stages, swaps[row], rng)
        ranks = [[stage.index(order[name]) for name in stage] for stage in stages]
        tau[row, draw] = np.mean([lesion.kendall_tau(rank) for rank in ranks])
        with lesion.reordered(model, order):
            errors[row, draw] = lesion.error_rate(model, *test)
    return tau, errors


def compute(settings: Settings) -> Paths:
    """Train both networks, measure the gradient along paths, and remove blocks."""
    size = QUICK if settings.quick else FULL
    rng = np.random.default_rng([settings.seed, 1])
    manual_seed(settings.seed)
    data, held_out = digit_images("train", size.images), digit_images("test", size.images)
    test = Tensor(held_out[0]).to(settings.device), Tensor(held_out[1]).to(settings.device)
    (depth,) = size.depths
    resnet = trained(CifarResNet(BasicBlock, depth, in_channels=1), data, size, settings, f"ResNet-{depth}")
    vgg = SmallVGG()
    trained(vgg, data, size, settings, "VGG")

    blocks = residual_blocks(resnet)
    resnet.double()  # the gradient along the longest paths is below what float32 can hold
    magnitudes = np.empty((len(blocks) + 1, size.samples))
    for sample in range(size.samples):
        settings.progress(f"gradient along paths of lengths 0 to {len(blocks)}: sample {sample + 1} of {size.samples}")
        rows = rng.choice(len(data[0]), size.batch, replace=False)
        images = Tensor(data[0][rows].astype(np.float64))
        batch = images.to(settings.device), Tensor(data[1][rows]).to(settings.device)
        magnitudes[:, [sample]] = unravel.gradient_by_length(resnet, [batch], range(len(blocks) + 1), rng)

    resnet.float()
    settings.progress("removing one block or layer at a time")
    without_block = lesion.errors_without_each(resnet, list(blocks), *test)
    without_layer = lesion.errors_without_each(vgg, vgg.removable, *test)
    settings.progress("removing several blocks")
    without_several = several_removed(resnet, size.removed, size.draws, test, rng)
    settings.progress("reordering blocks")
    tau, shuffled = order_shuffled(resnet, size.swaps, size.draws, test, rng)
    return Paths(
        magnitudes=magnitudes,
        resnet_error=lesion.error_rate(resnet, *test),
        without_block=without_block,
        strided=np.array([block.downsample is not None for block in blocks.values()]),
        vgg_error=lesion.error_rate(vgg, *test),
        without_layer=without_layer,
        removed=np.array(size.removed),
        without_several=without_several,
        swaps=np.array(size.swaps),
        tau=tau,
        shuffled=shuffled,
    )


def _ranges(data: Paths) -> tuple[int, tuple[int, int], tuple[int, int], float]:
    """Number of blocks; lengths of 95 % of the paths and of 95 % of the gradient; share of the paths in the latter."""
    n = len(data.magnitudes) - 1
    first, last = unravel.effective_lengths(data.shares)
    inside = sum(unravel.path_counts(n)[first : last + 1]) / 2**n
    return n, unravel.common_lengths(n), (first, last), inside


def table(data: Paths) -> Table:
    """The numbers that decide whether the claims held."""
    n, common, effective, inside = _ranges(data)
    mean = data.magnitudes.mean(axis=1)
    kept, strided = data.without_block[~data.strided], data.without_block[data.strided]
    rows: list[list[Any]] = [
        ["blocks", n],
        ["paths", f"2^{n} = {2**n:.3g}"],
        ["lengths of 95 % of the paths", f"{common[0]} to {common[1]}"],
        ["lengths that carry 95 % of the gradient", f"{effective[0]} to {effective[1]}"],
        ["share of the paths of these lengths", f"{100 * inside:.3g} %"],
        ["gradient norm along a path of length 0", f"{mean[0]:.2e}"],
        [f"gradient norm along a path of length {n // 2}", f"{mean[n // 2]:.2e}"],
        [f"gradient norm along a path of length {n}", f"{mean[n]:.2e}"],
        ["ResNet: test error", f"{float(data.resnet_error):.1f} %"],
        ["without one block: median, worst", f"{np.median(kept):.1f} %, {kept.max():.1f} %"],
        ["without one block that changes the shape", ", ".join(f"{error:.1f} %" for error in strided)],
        *(
            [f"without {count} random blocks", f"{errors.mean():.1f} % (spread {errors.std():.1f})"]
            for count, errors in zip(data.removed, data.without_several, strict=True)
        ),
        *(
            [f"after {count} swaps (rank correlation {tau.mean():.2f})", f"{e.mean():.1f} % (spread {e.std():.1f})"]
            for count, tau, e in zip(data.swaps, data.tau, data.shuffled, strict=True)
        ),
        ["VGG: test error", f"{float(data.vgg_error):.1f} %"],
        ["without one layer: median, best", f"{np.median(data.without_layer):.1f} %, {data.without_layer.min():.1f} %"],
    ]
    return ("what", "seen"), rows


def verdict(data: Paths) -> str:
    """What was seen."""
    n, common, effective, inside = _ranges(data)
    kept = data.without_block[~data.strided]
    return (
        f"95 % of the gradient comes through paths of {effective[0]} to {effective[1]} blocks, {100 * inside:.2g} % of "
        f"all paths (95 % of them have {common[0]} to {common[1]}); without one block the ResNet's error goes from "
        f"{float(data.resnet_error):.1f} to {np.median(kept):.1f} % (median), without one layer the VGG's from "
        f"{float(data.vgg_error):.1f} to {np.median(data.without_layer):.1f} %"
    )


RESIDUAL, PLAIN = style.FAMILIES["ResNet"], style.FAMILIES["VGG"]


def _draw_unravelled(axes: Any, n: int = 3) -> None:
    """All paths through n blocks, one below the other: a box where a path goes through a residual branch."""
    ways = sorted(unravel.all_paths(n), key=lambda path: (sum(path), path[::-1]))
    for y, path in enumerate(ways):
        axes.plot([-0.6, n - 0.4], [-y, -y], color=style.SOFT, linewidth=1.2, zorder=1)
        for block, chosen in enumerate(path):
            if chosen:
                box = {"boxstyle": "round,pad=0.35", "facecolor": RESIDUAL.colour, "edgecolor": "none"}
                axes.text(block, -y, f"$F_{block + 1}$", color="white", ha="center", va="center", bbox=box)
        axes.text(n - 0.3, -y, f"length {sum(path)}", va="center")
    axes.set(title=f"{n} blocks are {2**n} paths", xlim=(-0.7, n + 0.6), ylim=(-(2**n) + 0.4, 0.6))
    axes.axis("off")


def draw(data: Paths) -> Any:
    """The unravelled view, the three panels of the paper's Figure 6, and the lesions."""
    n, common, effective, _ = _ranges(data)
    lengths = np.arange(n + 1)
    drawing = style.picture(7.0)
    (unravelled, counts, magnitude), (share, single, several) = drawing.subplots(2, 3)
    _draw_unravelled(unravelled)

    counts.bar(lengths, 100 * np.array(unravel.path_counts(n), float) / 2**n, color=style.SOFT)
    counts.set(title=f"how long the 2^{n} paths are", xlabel="blocks on the path", ylabel="% of the paths")

    magnitude.semilogy(lengths, data.magnitudes, ".", color=style.SOFT, markersize=3)
    magnitude.semilogy(lengths, data.magnitudes.mean(axis=1), color=RESIDUAL.colour)
    magnitude.set(title="gradient along a path", xlabel="blocks on the path", ylabel="norm at the image (line: mean)")
    style.few_decades(magnitude.yaxis)

    share.axvspan(common[0] - 0.5, common[1] + 0.5, color=style.FAINT, alpha=0.6, linewidth=0)
    share.bar(lengths, 100 * data.shares, color=RESIDUAL.colour)
    share.text(
        np.mean(common), 0.97, "95 % of\nthe paths", ha="center", va="top", transform=share.get_xaxis_transform()
    )
    share.set(title="paths x gradient", ylabel="% of the gradient")
    share.set_xlabel(f"blocks on the path\n(95 % of it: {effective[0]} to {effective[1]})")

    dark = np.where(data.strided, style.INK, RESIDUAL.colour)
    single.bar((np.arange(n) + 0.5) / n, data.without_block, width=0.9 / n, color=dark)
    layers = len(data.without_layer)
    single.plot((np.arange(layers) + 0.5) / layers, data.without_layer, **PLAIN.line(linestyle="none"))
    single.text(0.03, 1.3 * data.without_layer.max(), "VGG without a layer", va="top")
    single.text(0.3, 0.4 * data.without_layer.max(), "ResNet without a block\n(black: changes\nthe shape)", va="bottom")
    single.set(title="one is removed", xlabel="where, from input to output", xticks=[])

    several.set(title="several removed or swapped", xlabel="how many (large: mean of the draws)", ylim=(0, 119))
    for x, errors, look, label, offset in (
        (data.removed, data.without_several, style.LOOKS[0], "removed", (0, 7)),
        (data.swaps, data.shuffled, style.LOOKS[1], "swapped", (-4, -15)),
    ):
        several.plot(x, errors.mean(axis=1), **look.line(linestyle="none", markersize=6))  # few draws: no line
        several.scatter(np.repeat(x, errors.shape[1]), errors, s=12, color=look.colour, alpha=0.5, linewidths=0)
        style.beside(several, label, (x[-1], errors[-1].mean()), offset, ha="center")
    several.xaxis.get_major_locator().set_params(integer=True)
    for axes in (single, several):
        axes.axhline(float(data.resnet_error), color=style.SOFT, linestyle=":", linewidth=1)
        axes.set(ylabel="test error (%)", ylim=(0, 125))
    drawing.suptitle(f"The unravelled view (L2.2.5): ResNet-{2 * n + 2} and a VGG trained on 8x8 digits")
    return drawing


FIGURE = Figure(
    name="paths",
    lecture=("L2.2.5",),
    claim="a network of n blocks is 2^n paths; the short ones bring the gradient; no single block is indispensable",
    result=Paths,
    compute=compute,
    table=table,
    draw=draw,
    verdict=verdict,
)
