"""Figure ``deformable`` (L2.3.4): where a deformable convolution samples, and how much that helps on warped digits.

Claim [Dai et al., ICCV 2017, Figures 5 and 6]: sampling points start as a rigid grid and leave it as the offsets are
trained; the freedom to deform helps where objects are seen under changing geometry.

Two small networks, equal except for the three 3x3 convolutions in their middle (ordinary or deformable), learn digits
under random affine warps: their test errors are compared over several seeds. A wider ordinary network is compared too,
because the layers that predict the offsets add parameters. Another deformable network learns to distinguish crops of
two photographs: for one of its output pixels, the 9 * 9 * 9 points that its three layers sample are traced to the
picture, before and after training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import nn
from ...autograd import no_grad
from ...data import digits, sample_photographs
from ...models.deformable import OffsetConv2d
from ...random import manual_seed
from ...tensors import Tensor
from ...utils import style
from ..base import Figure, Settings, Size, Table
from ..training import fit

LAYERS, STEM_STRIDE = 3, 2
DIGIT_SIZE, CROP_SIZE = 16, 48

NETWORKS = {  # deformable or not, and channels: 7402, 16282 and 15232 parameters
    "standard": (False, 16),
    "standard, wider": (False, 24),
    "deformable": (True, 16),
}


@dataclass(frozen=True)
class DigitsAndCrops(Size):
    """``epochs`` and ``images`` are of the digits; ``crops``, ``crop_epochs``: of the two photographs."""

    crops: int = 0
    crop_epochs: int = 1


FULL = DigitsAndCrops(seeds=3, epochs=12, crops=512, crop_epochs=6)
QUICK = DigitsAndCrops(epochs=4, images=500, crops=128, crop_epochs=2)


class SmallNet(nn.Module):
    """Stem with stride 2, three 3x3 convolutions that keep the size, global average pool, classifier."""

    def __init__(self, in_channels: int, num_classes: int, deformable: bool, channels: int = 16) -> None:
        super().__init__()
        kind = OffsetConv2d if deformable else nn.Conv2d
        self.stem = nn.Conv2d(in_channels, channels, 3, stride=STEM_STRIDE, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(LAYERS + 1))
        self.convs = nn.ModuleList(kind(channels, channels, 3, padding=1) for _ in range(LAYERS))
        self.fc = nn.Linear(channels, num_classes)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The inputs of the three convolutions, and the output of the last one."""
        maps = [nn.functional.relu(self.norms[0](self.stem(x)))]  # (N, channels, H/2, W/2)
        for conv, norm in zip(self.convs, list(self.norms)[1:], strict=True):
            maps.append(nn.functional.relu(norm(conv(maps[-1]))))
        return maps

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(nn.functional.adaptive_avg_pool2d(self.maps(x)[-1], 1).flatten(1))


@dataclass
class Deformable:
    """The data of the figure.

    ``errors`` (3, seeds): test error in per cent of each of ``NETWORKS`` on warped digits;
    ``picture`` (H, W, 3): the crop; ``before``, ``after`` (729, 2): rows and columns of it that one output pixel
    samples; ``centre`` (2,): that pixel; ``offset_size``: mean distance in input pixels by which training moved the
    points.
    """

    errors: np.ndarray
    picture: np.ndarray
    before: np.ndarray
    after: np.ndarray
    centre: np.ndarray
    offset_size: float


def warp(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Digits (N, 1, 8, 8) enlarged to 16 x 16 under random affine maps: turned, scaled, sheared and shifted."""
    from PIL import Image

    out = np.empty((len(images), 1, DIGIT_SIZE, DIGIT_SIZE), np.float32)
    middle = np.array([DIGIT_SIZE / 2] * 2)  # as for Pillow, the first pixel's own is at 0.5
    for i, (image,) in enumerate(images):
        angle, scale, shear = np.radians(rng.uniform(-45, 45)), rng.uniform(0.6, 1.2), rng.uniform(-0.4, 0.4)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.array([[1, shear], [0, 1]]) / scale * (8 / DIGIT_SIZE)
        offset = 4 - matrix @ (middle + rng.uniform(-2, 2, 2))
        places = np.column_stack([matrix, offset])[::-1, [1, 0, 2]]  # of columns, then of rows; Pillow's x comes first
        warped = Image.fromarray(image.astype(np.float32)).transform(
            (DIGIT_SIZE, DIGIT_SIZE),
            Image.Transform.AFFINE,
            places.ravel().tolist(),
            Image.Resampling.BILINEAR,
            fillcolor=float(image.min()),
        )
        out[i, 0] = np.asarray(warped)
    return out


def error_on_warped_digits(name: str, size: Size, seed: int, device: str = "cpu") -> float:
    """Test error in per cent of one of ``NETWORKS`` after training on freshly warped digits."""
    rng = np.random.default_rng(seed)
    manual_seed(seed)
    arrays = {}
    for split, copies in (("train", 2), ("test", 3)):
        dataset = digits(split)
        images, labels = np.asarray(dataset.images)[: size.images], np.asarray(dataset.labels)[: size.images]
        arrays[split] = np.concatenate([warp(images, rng) for _ in range(copies)]), np.tile(labels, copies)
    net = SmallNet(1, 10, *NETWORKS[name]).to(device)
    fit(net, arrays["train"], size.epochs, rng)
    images, labels = arrays["test"]
    with no_grad():
        predicted = net.eval()(Tensor(images).to(device)).argmax(1).cpu().numpy()
    return 100 * float((predicted != labels).mean())


def _photographs() -> list[np.ndarray]:
    """China and the flower at a third of their size, (142 or 143, 214, 3) in [-0.5, 0.5]."""
    return [photo[::3, ::3].astype(np.float32) / 255 - 0.5 for photo in sample_photographs()]


def photograph_crops(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random crops (count, 3, 48, 48) of the two photographs at a third of their size, and their labels."""
    small = _photographs()
    labels = np.arange(count) % 2
    crops = np.empty((count, 3, CROP_SIZE, CROP_SIZE), np.float32)
    for i, label in enumerate(labels):
        photo = small[label] * rng.uniform(0.6, 1.4)
        row, column = (rng.integers(0, side - CROP_SIZE + 1) for side in photo.shape[:2])
        crops[i] = photo[row : row + CROP_SIZE, column : column + CROP_SIZE].transpose(2, 0, 1)
    return crops, labels


def sampling_points(net: SmallNet, image: np.ndarray, pixel: tuple[int, int]) -> np.ndarray:
    """The input positions (729, 2) that output ``pixel`` of the last layer samples through all three layers.

    From the top down each point becomes nine: its place in the map below, plus the grid of the kernel, plus the offsets
    that the layer predicts there (at the nearest pixel, for a point between pixels). Pixel p of the stem's map sees
    input pixels around 2 p.
    """
    with no_grad():
        maps = net.eval().maps(Tensor(image[None]).to(net.fc.weight.device))
        offsets = [conv.where(given)[0].cpu().numpy()[0] for conv, given in zip(net.convs, maps[:-1], strict=True)]
    grid = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], indexing="ij"), -1).reshape(9, 2)
    points = np.array([pixel], float)
    for offset in reversed(offsets):  # offset: (18, H, W), dy and dx of each tap side by side
        nearest = np.clip(np.rint(points).astype(int), 0, np.array(offset.shape[1:]) - 1)
        moved = offset[:, nearest[:, 0], nearest[:, 1]].T.reshape(-1, 9, 2)
        points = (points[:, None] + grid + moved).reshape(-1, 2)
    return points * STEM_STRIDE


def compute(settings: Settings) -> Deformable:
    """Train the networks and trace the sampling points."""
    size = QUICK if settings.quick else FULL
    errors = np.empty((len(NETWORKS), size.seeds))
    for row, name in enumerate(NETWORKS):
        for i in range(size.seeds):
            settings.progress(f"{name} network on warped digits, seed {settings.seed + i}")
            errors[row, i] = error_on_warped_digits(name, size, settings.seed + i, settings.device)

    settings.progress("deformable network on crops of two photographs")
    rng = np.random.default_rng(settings.seed)
    manual_seed(settings.seed)
    crops, labels = photograph_crops(size.crops, rng)
    net = SmallNet(3, 2, deformable=True).to(settings.device)
    picture = _photographs()[1][47 : 47 + CROP_SIZE, 78 : 78 + CROP_SIZE].transpose(2, 0, 1)  # the flower
    centre = (CROP_SIZE // 4, CROP_SIZE // 4)
    before = sampling_points(net, picture, centre)
    fit(net, (crops, labels), size.crop_epochs, rng)
    after = sampling_points(net, picture, centre)
    moved = float(np.linalg.norm(after - before, axis=1).mean())
    shown = (picture + 0.5).transpose(1, 2, 0)
    return Deformable(errors, shown, before, after, np.array(centre) * STEM_STRIDE, moved)


def table(data: Deformable) -> Table:
    """Errors of the networks, seed by seed."""
    seeds = data.errors.shape[1]
    rows = [
        [name, *(round(float(e), 2) for e in errors), round(float(errors.mean()), 2), round(float(errors.std()), 2)]
        for name, errors in zip(NETWORKS, data.errors, strict=True)
    ]
    return ("test error % on warped digits", *(f"seed {i + 1}" for i in range(seeds)), "mean", "spread"), rows


def verdict(data: Deformable) -> str:
    """What was seen."""
    standard, wider, deformable = data.errors.mean(axis=1)
    width, size = ("beat" if deformable < other else "did not beat" for other in (standard, wider))
    return (
        f"errors {deformable:.1f} % deformable, {standard:.1f} % standard, {wider:.1f} % standard and wider: deforming "
        f"{width} the ordinary network of equal width and {size} the one of equal size; "
        f"training moved its sampling points by {float(data.offset_size):.1f} input pixels on average"
    )


def draw(data: Deformable) -> Any:
    """Two experiments: the crop with its sampling points before and after training; the errors on digits."""
    drawing = style.picture(3.9)
    traced, compared = drawing.subfigures(1, 2, width_ratios=[2, 1.1])
    traced.suptitle("One network: which photograph is a crop from?")
    reach = min(-0.5, data.after.min() - 1), max(CROP_SIZE - 0.5, data.after.max() + 1)
    for axes, points, when in zip(traced.subplots(1, 2), (data.before, data.after), ("before", "after"), strict=True):
        axes.imshow(data.picture, interpolation="nearest")
        axes.scatter(points[:, 1], points[:, 0], s=9, c=style.SKY, edgecolors="black", linewidths=0.4)
        axes.scatter(*data.centre[::-1], s=60, c=style.VERMILION, marker="s", edgecolors="white")
        axes.set(title=f"{when} training", xticks=[], yticks=[], xlim=reach, ylim=reach[::-1])
        axes.set_xlabel("dots: sampled for the pixel at the square")
        axes.spines[:].set_visible(False)
    compared.suptitle("Other networks: warped digits")
    axes = compared.subplots()
    names = [name.replace(", ", ",\n") for name in NETWORKS]
    bars = axes.bar(names, data.errors.mean(axis=1), color=[style.FAINT, style.FAINT, style.SKY], width=0.6)
    bars[1].set(hatch="//", edgecolor=style.SOFT)
    for i, errors in enumerate(data.errors):
        axes.scatter([i] * len(errors), errors, c=style.INK, s=14, zorder=3)
    axes.set(title="bars: mean; dots: seeds", ylabel="test error (%)", ylim=(0, 1.1 * data.errors.max()))
    return drawing


FIGURE = Figure(
    name="deformable",
    lecture=("L2.3.4",),
    claim="trained offsets leave the rigid grid; deforming helps on warped images, at equal width",
    result=Deformable,
    compute=compute,
    table=table,
    draw=draw,
    verdict=verdict,
)
