"""Figure ``backbones`` (L3.2): the feature maps C2 to C5 of VGG and ResNet on a photograph.

Claim [He et al., CVPR 2016; Lin et al., "Feature Pyramid Networks", CVPR 2017, section 3]: inside both networks there
is a pyramid of maps at strides 4, 8, 16 and 32 that other tasks use. A pixel of a map stands for ``stride`` pixels of
the picture. To test this, the picture is shifted by 32 pixels, and each map must shift by 32 / stride pixels. A
correlation measures how well it does; a second one compares with the unshifted map. It is below 1 where a unit sees the
padding of the border, and in the small maps the border reaches far inside.

No weights come with minicnn, so the networks are as initialised; the maps show the position and resolution of each
level, not what a trained one would detect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...autograd import no_grad
from ...data import sample_photographs
from ...models import create_model
from ...models.backbone import FeatureExtractor, features
from ...random import manual_seed
from ...tensors import Tensor
from ...utils import style
from ..base import Figure, Settings, Size, Table

LEVELS = ("C2", "C3", "C4", "C5")
SHIFT = 32  # pixels: one pixel of C5


FULL = Size(side=320, networks=("vgg16", "resnet50"))  # side: a multiple of 32
QUICK = Size(side=224, networks=("vgg11", "resnet18"))


@dataclass
class Backbones:
    """The data of the figure, one row per network and one column per level of ``LEVELS``.

    ``networks`` (2,), ``modules`` (2, 4): the module whose output is the map. ``channels``, ``strides``, ``sides``
    (2, 4). ``agreement`` (2, 4): correlation of the map of the shifted picture with the shifted map, away from the
    border; ``unmoved`` (2, 4): with the unshifted map. ``picture`` (S, S, 3) in [0, 1]; ``c2`` to ``c5`` (2, side,
    side): the mean over the channels of a map.
    """

    networks: np.ndarray
    modules: np.ndarray
    channels: np.ndarray
    strides: np.ndarray
    sides: np.ndarray
    agreement: np.ndarray
    unmoved: np.ndarray
    picture: np.ndarray
    c2: np.ndarray
    c3: np.ndarray
    c4: np.ndarray
    c5: np.ndarray


def photograph(side: int) -> np.ndarray:
    """A square of the bundled picture of a temple, (side + 32, side + 32, 3) in [0, 1], for ``side`` up to 352."""
    china = sample_photographs()[0]
    return china[40 : 40 + side + SHIFT, 190 : 190 + side + SHIFT].astype(np.float32) / 255


def maps(body: FeatureExtractor, picture: np.ndarray) -> list[np.ndarray]:
    """C2 to C5 (C, H, W) of a picture (H, W, 3) in [0, 1], by a network in evaluation mode."""
    device = next(body.parameters()).device
    normalised = (picture - picture.mean((0, 1))) / picture.std((0, 1))
    x = Tensor(np.ascontiguousarray(normalised.transpose(2, 0, 1)[None], dtype=np.float32)).to(device)
    with no_grad():
        return [level.cpu().numpy()[0] for level in body.eval()(x).values()]


def agreement(still: np.ndarray, moved: np.ndarray, step: int) -> float:
    """How well ``moved`` (C, H, W) agrees with ``still`` shifted up and left by ``step`` pixels: a correlation.

    The mean of every channel is subtracted. An eighth of the overlap is left out on each side, where the padding has
    most influence.
    """
    height = still.shape[1] - step
    edge = height // 8
    inside = slice(edge, height - edge)
    here = still[:, step:, step:][:, inside, inside]
    there = moved[:, :height, :height][:, inside, inside]
    here, there = (values - values.mean(axis=(1, 2), keepdims=True) for values in (here, there))
    return float(np.corrcoef(here.ravel(), there.ravel())[0, 1])


def compute(settings: Settings) -> Backbones:
    """Run both networks on the picture and on the picture shifted by 32 pixels."""
    size = QUICK if settings.quick else FULL
    whole = photograph(size.side)
    picture, moved = whole[: size.side, : size.side], whole[SHIFT:, SHIFT:]
    bodies, stills, agreements, unmoved = [], [], [], []
    for name in size.networks:
        settings.progress(f"{name} on {size.side}x{size.side} pixels, twice")
        manual_seed(settings.seed)
        body = features(create_model(name).to(settings.device), input_shape=(3, size.side, size.side))
        still = maps(body, picture)
        steps = [SHIFT // stride for stride in body.strides.values()]
        shifted = maps(body, moved)
        agreements.append(list(map(agreement, still, shifted, steps)))
        unmoved.append([agreement(*pair, step=0) for pair in zip(still, shifted, strict=True)])
        bodies.append(body)
        stills.append(still)
    return Backbones(
        networks=np.array(size.networks),
        modules=np.array([list(body.channels) for body in bodies]),
        channels=np.array([list(body.channels.values()) for body in bodies]),
        strides=np.array([list(body.strides.values()) for body in bodies]),
        sides=np.array([[level.shape[1] for level in still] for still in stills]),
        agreement=np.array(agreements),
        unmoved=np.array(unmoved),
        picture=picture,
        **{f"c{i + 2}": np.stack([still[i].mean(axis=0) for still in stills]) for i in range(len(LEVELS))},
    )


def table(data: Backbones) -> Table:
    """The module, shape and stride of each map, and how well it moves with the picture."""
    rows = []
    for i, network in enumerate(data.networks):
        for j, level in enumerate(LEVELS):
            shape = f"{data.channels[i, j]}x{data.sides[i, j]}x{data.sides[i, j]}"
            moves = [round(float(values[i, j]), 3) for values in (data.agreement, data.unmoved)]
            rows.append([str(network), level, str(data.modules[i, j]), shape, int(data.strides[i, j]), *moves])
    return ("network", "map", "module", "shape", "stride", "agreement, moved", "unmoved"), rows


def verdict(data: Backbones) -> str:
    """What was seen."""
    same = "the same strides" if (data.strides[0] == data.strides[1]).all() else "different strides"
    follow = int((data.agreement > data.unmoved).sum())
    return (
        f"both give C2 to C5 at {same}, {', '.join(map(str, data.strides[0]))}; when the picture moves by 32 pixels, "
        f"{follow} of {data.agreement.size} maps agree better with themselves moved by 32 / stride pixels "
        f"(correlation {data.agreement.mean():.2f}) than unmoved ({data.unmoved.mean():.2f})"
    )


def draw(data: Backbones) -> Any:
    """The picture with the pixels of C5 drawn on it, and the maps of both networks."""
    drawing = style.picture(4.6)
    first, rest = drawing.subfigures(1, 2, width_ratios=[1, 2.75])
    axes = first.subplots()
    axes.imshow(data.picture)
    for at in range(SHIFT, data.picture.shape[0], SHIFT):
        axes.axhline(at - 0.5, c="white", lw=0.5, alpha=0.7)
        axes.axvline(at - 0.5, c="white", lw=0.5, alpha=0.7)
    axes.set(title="picture, 32-pixel grid", xticks=[], yticks=[])
    grid = rest.subplots(2, len(LEVELS))
    for row, network in enumerate(data.networks):
        for column, (axes, level) in enumerate(zip(grid[row], (data.c2, data.c3, data.c4, data.c5), strict=True)):
            values = (level[row] - level[row].mean()) / level[row].std()
            image = axes.imshow(values, cmap="magma", vmin=-3, vmax=3, interpolation="nearest")
            side = data.sides[row, column]
            axes.set(title=f"{LEVELS[column]}: {data.channels[row, column]}x{side}x{side}", xticks=[], yticks=[])
            axes.set_xlabel(f"stride {data.strides[row, column]}")
        grid[row, 0].set_ylabel(str(network))
    label = "mean over the channels, in deviations from its mean"
    rest.colorbar(image, ax=grid, label=label, fraction=0.025, extend="both")
    drawing.suptitle("Backbones (L3.2): C2 to C5 on a photograph, networks as initialised")
    return drawing


FIGURE = Figure(
    name="backbones",
    lecture=("L3.2",),
    claim="VGG and ResNet hold a pyramid of maps at strides 4 to 32 that other tasks can use",
    result=Backbones,
    compute=compute,
    table=table,
    draw=draw,
    verdict=verdict,
)
