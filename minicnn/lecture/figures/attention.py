"""Figure ``attention`` (L2.3.2): the gates of an SE network, by class and depth.

Claim [Hu et al., CVPR 2018, section 6.4 and Figure 6]: SE blocks weight the channels in the same way for all classes in
early layers, and differently for different classes in later ones.

A ResNet-20 for small images with an SE block in each of its nine blocks learns the 8 x 8 digits. Its gates on test
images are averaged by class. Two numbers say how much the classes differ: the standard deviation of these means, and
the share of a gate's variance over the images that the class explains. To test whether gates must depend on the image,
every gate is held at its mean over all images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import nn
from ...autograd import no_grad
from ...models.cifar_resnet import CifarResNet
from ...models.senet import SEBasicBlock, SqueezeExcitation
from ...nn.summary import evaluating
from ...random import manual_seed
from ...tensors import Tensor
from ...utils import style
from ..analyses.blocks import replaced
from ..analyses.lesion import error_rate
from ..base import Figure, Settings, Size, Table
from ..training import digit_images, fit

CLASSES = 10
SHOWN = (0, 4, 8)  # of the nine blocks: the first, the middle, the last


FULL = Size(seeds=3, epochs=8)
QUICK = Size(epochs=3, images=384)


@dataclass
class Attention:
    """The data of the figure.

    ``blocks`` (9,): names, from the input on. ``spread`` (9, seeds): standard deviation over the classes of the mean
    gate, averaged over channels. ``explained`` (9, seeds): share of the gates' variance that is between classes.
    ``early``, ``middle``, ``late`` (10, C): mean gate of each class and channel in the blocks ``SHOWN``, of the first
    seed. ``errors``, ``constant_errors`` (seeds,): test error in per cent, and with every gate held at its mean.
    """

    blocks: np.ndarray
    spread: np.ndarray
    explained: np.ndarray
    early: np.ndarray
    middle: np.ndarray
    late: np.ndarray
    errors: np.ndarray
    constant_errors: np.ndarray


def gates(model: nn.Module, images: Tensor) -> dict[str, np.ndarray]:
    """The gates (N, C) of every SE block of ``model`` on ``images`` (N, ...), in the order in which they run."""
    found: dict[str, np.ndarray] = {}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, SqueezeExcitation):

            def note(se: nn.Module, args: Any, output: Any, name: str = name) -> None:
                assert isinstance(se, SqueezeExcitation)
                found[name] = se.gates(args[0]).cpu().numpy()[:, :, 0, 0]

            handles.append(module.register_forward_hook(note))
    try:
        with evaluating(model), no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return found


def by_class(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The means of ``values`` (N, C) over the images of each class: (10, C)."""
    return np.stack([values[labels == label].mean(axis=0) for label in range(CLASSES)])


def explained_by_class(values: np.ndarray, labels: np.ndarray) -> float:
    """The share of the variance of ``values`` (N, C) that lies between classes, from 0 to 1; channels summed.

    0 if nothing varies: the ReLU inside an SE block can be 0 for all images, and then its gates are constant.
    """
    values = values.astype(np.float64)  # so that the means of equal float32 numbers are these numbers
    total = ((values - values.mean(axis=0)) ** 2).sum()
    between = ((by_class(values, labels)[labels] - values.mean(axis=0)) ** 2).sum()
    return float(between / total) if total else 0.0


def error_with_constant_gates(model: nn.Module, means: dict[str, np.ndarray], images: Tensor, labels: Tensor) -> float:
    """Test error in per cent when the gates of each SE block are its ``means`` (C,) for every image."""

    def scale(mean: np.ndarray) -> Any:
        gate = Tensor(mean.reshape(1, -1, 1, 1)).to(images.device)
        return lambda x: x * gate

    with replaced({model.get_submodule(name): scale(mean) for name, mean in means.items()}):
        return error_rate(model, images, labels)


def compute(settings: Settings) -> Attention:
    """Train with every seed, measure the gates on test images."""
    size = QUICK if settings.quick else FULL
    train, (images, labels) = (digit_images(split, size.images) for split in ("train", "test"))
    x, target = (Tensor(array).to(settings.device) for array in (images, labels))
    runs: list[dict[str, np.ndarray]] = []
    errors = np.empty((2, size.seeds))
    for i in range(size.seeds):
        seed = settings.seed + i
        manual_seed(seed)
        model = CifarResNet(SEBasicBlock, 20, CLASSES, in_channels=1).to(settings.device)

        def tell(epoch: int, loss: float, error: float, seed: int = seed) -> None:
            settings.progress(f"SE-ResNet-20, seed {seed}, epoch {epoch} of {size.epochs}: loss {loss:.3f}")

        fit(model, train, size.epochs, np.random.default_rng(seed), on_epoch=tell)
        runs.append(gates(model, x))
        means = {name: values.mean(axis=0) for name, values in runs[-1].items()}
        errors[:, i] = error_rate(model, x, target), error_with_constant_gates(model, means, x, target)
    names = list(runs[0])
    spread = [[by_class(run[name], labels).std(axis=0).mean() for run in runs] for name in names]
    explained = [[explained_by_class(run[name], labels) for run in runs] for name in names]
    shown = (by_class(runs[0][names[i]], labels) for i in SHOWN)
    blocks = np.array([name.removesuffix(".se") for name in names])
    return Attention(blocks, np.array(spread, float), np.array(explained), *shown, *errors)


def table(data: Attention) -> Table:
    """How much the gates differ between classes, per block: means over the seeds."""
    header = ("block", "spread between classes", "variance explained by class")
    columns = (data.blocks, data.spread.mean(axis=1).round(4), data.explained.mean(axis=1).round(3))
    return header, [[str(name), float(spread), float(share)] for name, spread, share in zip(*columns, strict=True)]


def verdict(data: Attention) -> str:
    """What was seen."""
    spread, explained = (np.array(v).mean(axis=1).reshape(3, -1).mean(axis=1) for v in (data.spread, data.explained))
    grew = "grew" if spread[0] < spread[1] < spread[2] else "did not grow steadily"
    return (
        f"the spread of gates between classes {grew} from stage to stage: {', '.join(f'{s:.3f}' for s in spread)}; "
        f"the class explains {', '.join(f'{100 * e:.0f} %' for e in explained)} of the gates' variance there; held at "
        f"their means they take the test error from {data.errors.mean():.1f} to {data.constant_errors.mean():.1f} %"
    )


def draw(data: Attention) -> Any:
    """Gates by class and channel in three blocks; the spread between classes, and what the class explains, by depth."""
    drawing = style.picture(6.0)
    above, below = drawing.subfigures(2, 1)
    maps = above.subplots(1, len(SHOWN), width_ratios=[1, 1.2, 1.6])
    for axes, values, i in zip(maps, _shown(data), SHOWN, strict=True):
        order = np.argsort(values.mean(axis=0))
        image = axes.imshow(values[:, order], aspect="auto", cmap="magma", vmin=0, vmax=1, interpolation="nearest")
        axes.set(title=f"block {data.blocks[i]}", xlabel=f"{values.shape[1]} channels, by mean gate", xticks=[])
        axes.set_yticks(range(CLASSES))
    maps[0].set_ylabel("digit")
    above.colorbar(image, ax=maps, label="mean gate", fraction=0.025)
    depth, look = np.arange(1, len(data.blocks) + 1), style.FAMILIES["SENet"]
    for axes, values, label in zip(
        below.subplots(1, 2),
        (data.spread, 100 * data.explained),
        ("spread of the classes' mean gates", "variance explained by class (%)"),
        strict=True,
    ):
        axes.plot(depth, values, color=look.colour, linewidth=0.8)
        axes.plot(depth, values.mean(axis=1), **look.line(color=style.INK, linestyle="-"))
        axes.set(title=label, xlabel="block, from input to output", xticks=depth, ylim=0)
    seeds = data.spread.shape[1]
    shown = f"thick: mean of {seeds} seeds" if seeds > 1 else "one seed"
    drawing.suptitle(f"Channel attention (L2.3.2): SE-ResNet-20 trained on 8x8 digits; {shown}")
    return drawing


def _shown(data: Attention) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return data.early, data.middle, data.late


FIGURE = Figure(
    name="attention",
    lecture=("L2.3.2",),
    claim="SE gates are alike for all classes in early layers and differ by class in later ones",
    result=Attention,
    compute=compute,
    table=table,
    draw=draw,
    verdict=verdict,
)
