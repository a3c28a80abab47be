"""Figure ``depth`` (L1.1, L2.2.1): networks became deeper and better, and see more of the picture with every layer.

Claims: ImageNet's top-5 error fell from 28.2 to 3.57 % while networks grew from 8 to 152 layers; depth buys larger
receptive fields. The errors are the papers'; the layers are counted in our own networks. The *theoretical* receptive
field after each convolution is from ``nn.summary``; the *effective* one, where the gradient of the unit in the middle
of a map is not negligible, is measured on photographs by ``receptive_field.centre_gradient``, at the last map of each
stride. Luo et al. (NIPS 2016, arXiv:1701.04128) found it to be much smaller.

The networks are untrained, so the figure shows the architecture and its initialisation; Luo et al. saw effective fields
grow in training. Batch norms use the statistics of the same photographs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import backend, nn
from ...autograd import enable_grad, no_grad, topological_order
from ...backend.shapes import shape_array
from ...data import sample_photographs
from ...data.transforms.presets import IMAGENET_MEAN, IMAGENET_STD
from ...models import create_model
from ...models.backbone import features
from ...nn.summary import Row, evaluating, summary
from ...random import manual_seed
from ...tensors import Tensor
from ...utils import style
from ..analyses.receptive_field import centre_gradient, effective_size
from ..base import Figure, Settings, Size, Table

# L2.2.1: who won which year, with how many layers (None: not a deep network), and top-5 error in per cent.
REVOLUTION = (
    ("ILSVRC'10", "shallow", None, 28.2),
    ("ILSVRC'11", "shallow", None, 25.8),
    ("ILSVRC'12", "AlexNet", "alexnet", 16.4),
    ("ILSVRC'13", "ZFNet", 8, 11.7),
    ("ILSVRC'14", "VGG", "vgg19", 7.3),
    ("ILSVRC'14", "GoogLeNet", "googlenet", 6.7),
    ("ILSVRC'15", "ResNet", "resnet152", 3.57),
)
NETWORKS = ("alexnet", "vgg19", "resnet34")
STAGES = 4  # strides 4, 8, 16 and 32


FULL = Size(images=2, side=224)  # the middles of the two bundled photographs
QUICK = Size(images=1, side=112)


@dataclass
class Depth:
    """The data of the figure.

    ``layers`` (7,): layers with weights of the networks of ``REVOLUTION``, 0 for shallow ones; ``fields``
    (networks, L): side of the theoretical receptive field after each convolution of ``NETWORKS``, NaN after the last;
    ``convolutions``, ``theoretical`` and ``effective`` (networks, 4): at the last map of each stride, how many
    convolutions come before it and the sides of both fields; ``maps`` (networks, side, side): how strongly the middle
    of the last map depends on each pixel, the strongest being 1.
    """

    layers: np.ndarray
    fields: np.ndarray
    convolutions: np.ndarray
    theoretical: np.ndarray
    effective: np.ndarray
    maps: np.ndarray


def weighted_layers(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """The depth of a network as papers give it: convolutions and linear layers along the longest path."""
    image = Tensor.wrap(shape_array((1, *input_shape)))
    with evaluating(model), backend.use("shapes"), enable_grad():
        output = model(image)
    longest: dict[Any, int] = {}
    for node in reversed(topological_order([output.grad_fn])):
        below = [longest[edge[0]] for edge in node.edges if edge is not None]
        longest[node] = max(below, default=0) + (node.name() in ("Conv2d", "Linear"))
    return longest[output.grad_fn]


def _convolutions(rows: list[Row]) -> list[Row]:
    """The convolutions of the branches; a shortcut's field is never larger than its branch's."""
    return [row for row in rows if row.kind == "Conv2d" and ".downsample" not in row.name]


def photographs(size: Size) -> Tensor:
    """The middles (photographs, 3, side, side) of the two bundled photographs, normalised as for ImageNet."""
    middles = []
    for photo in sample_photographs()[: size.images]:
        top, left = ((length - size.side) // 2 for length in photo.shape[:2])
        pixels = photo[top : top + size.side, left : left + size.side].astype(np.float32) / 255
        middles.append((pixels - IMAGENET_MEAN) / IMAGENET_STD)
    return Tensor(np.stack(middles).transpose(0, 3, 1, 2).astype(np.float32))


def update_statistics(model: nn.Module, images: Tensor) -> None:
    """Put the model into evaluation mode, with the images' own statistics in every batch norm."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the newest statistics alone
    with no_grad():
        model.train()(images)
    model.eval()


def compute(settings: Settings) -> Depth:
    """Count layers, compute theoretical fields, and measure effective ones."""
    size = QUICK if settings.quick else FULL
    layers = [
        weighted_layers(create_model(name, init=False), (3, 227, 227)) if isinstance(name, str) else name or 0
        for _, _, name, _ in REVOLUTION
    ]
    images = photographs(size).to(settings.device)
    tables = [_convolutions(summary(create_model(name, init=False)).rows) for name in NETWORKS]
    fields = np.full((len(NETWORKS), max(map(len, tables))), np.nan)
    convolutions, theoretical, effective = np.zeros((3, len(NETWORKS), STAGES))
    maps = np.empty((len(NETWORKS), size.side, size.side))
    for i, (name, rows) in enumerate(zip(NETWORKS, tables, strict=True)):
        fields[i, : len(rows)] = [row.receptive_field[0] for row in rows if row.receptive_field is not None]
        manual_seed(settings.seed)
        model = create_model(name).to(settings.device).requires_grad_(False)
        update_statistics(model, images)
        for stage, layer in enumerate(features(model).channels):
            settings.progress(f"{name}: effective receptive field of {layer}")
            inside = _up_to(layer, summary(model).rows)
            convolutions[i, stage] = len(_convolutions(inside))
            theoretical[i, stage] = max(row.receptive_field[0] for row in inside if row.receptive_field is not None)
            body = features(model, [layer])
            maps[i] = centre_gradient(lambda x, body=body, layer=layer: body(x)[layer], images)  # type: ignore[misc]
            effective[i, stage] = effective_size(maps[i])
    return Depth(np.array(layers), fields, convolutions, theoretical, effective, maps)


def _up_to(layer: str, rows: list[Row]) -> list[Row]:
    """The rows up to the last one inside the module called ``layer``."""
    last = max(i for i, row in enumerate(rows) if row.name == layer or row.name.startswith(f"{layer}."))
    return rows[: last + 1]


def table(data: Depth) -> Table:
    """Layers and errors of the winners, and the fields of the last map at each stride."""
    rows: list[list[Any]] = [
        [f"{year} {name}", layers or "shallow", f"{error} %", "", "", ""]
        for (year, name, _, error), layers in zip(REVOLUTION, data.layers.tolist(), strict=True)
    ]
    for i, name in enumerate(NETWORKS):
        for stage in range(STAGES):
            seen, listened = data.theoretical[i, stage], data.effective[i, stage]
            layers = int(data.convolutions[i, stage])
            rows.append([name, layers, "", 4 * 2**stage, int(seen), f"{listened:.1f}"])
    return ("network", "layers", "top-5 error", "stride", "receptive field", "effective"), rows


def verdict(data: Depth) -> str:
    """What was seen."""
    side = data.maps.shape[1]
    parts = [
        f"{name} {effective:.0f} of {theoretical:.0f} pixels"
        for name, effective, theoretical in zip(NETWORKS, data.effective[:, -1], data.theoretical[:, -1], strict=True)
    ]
    return (
        f"from {data.layers[2]} to {data.layers[-1]} layers the error fell from {REVOLUTION[2][3]} to "
        f"{REVOLUTION[-1][3]} %; a unit of the last map of an untrained network effectively depends on "
        f"{', '.join(parts)} of its theoretical field (images of {side} x {side})"
    )


def _seen(sensitivity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first row and column with a gradient, and the numbers of rows and columns up to the last."""
    places = np.argwhere(sensitivity)
    return places.min(axis=0), np.ptp(places, axis=0) + 1


def draw(data: Depth) -> Any:
    """Layers and error by year; receptive fields by layer; on which pixels the last map of each network depends."""
    drawing = style.picture(7.6)
    above, below = drawing.subfigures(2, 1, height_ratios=[1.1, 1])
    left, right = above.subplots(1, 2, width_ratios=[1.25, 1])
    _draw_revolution(left, data)
    _draw_fields(right, data)
    panels = below.subplots(1, len(NETWORKS))
    for i, (axes, name) in enumerate(zip(panels, NETWORKS, strict=True)):
        image = _draw_map(axes, data, i)
        axes.set(title=name, xticks=[], yticks=[])
    below.colorbar(
        image, ax=panels, label="gradient / largest, 2x2 pixels", ticks=[0, 0.01, 0.1, 0.25, 0.5, 1], fraction=0.025
    )
    below.suptitle("What a unit of the last map can see (dotted), and depends on (solid), untrained")
    above.suptitle("Depth (L1.1, L2.2.1)")
    return drawing


def _draw_revolution(axes: Any, data: Depth) -> None:
    places, errors = range(len(REVOLUTION)), [entry[3] for entry in REVOLUTION]
    bars = axes.bar(places, errors, color=style.FAINT, width=0.7)
    axes.bar_label(bars, [f"{error}" for error in errors], padding=1)
    names = [f"{name} {year.removeprefix('ILSVRC')}" for year, name, _, _ in REVOLUTION]
    axes.set_xticks(places, names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set(title="bars: ImageNet top-5 error; line: layers", ylabel="top-5 error (%)", ylim=(0, 33))
    layers = axes.twinx()
    deep = [place for place in places if data.layers[place]]
    layers.plot(deep, data.layers[deep], **style.LOOKS[0].line())
    for place in deep:
        text = str(data.layers[place])
        end = place, data.layers[place]
        style.beside(layers, text, end, (0, 7), ha="center", bbox=style.HALO)
    layers.set(yscale="log", ylim=(3, 330), ylabel="layers with weights")
    layers.spines.right.set_visible(True)
    style.ticks(layers.yaxis, (10, 30, 100, 300))


def _draw_fields(axes: Any, data: Depth) -> None:
    side = data.maps.shape[1]
    axes.set(
        title="a unit can see (dotted), depends on (solid)",
        xlabel="convolutions",
        ylabel="side of the field in pixels",
        yscale="log",
    )
    for i, name in enumerate(NETWORKS):
        look, count = style.look_of(name), int(np.isfinite(data.fields[i]).sum())
        axes.plot(np.arange(1, count + 1), data.fields[i, :count], **look.line(marker="", linestyle=":"))
        axes.plot(data.convolutions[i], data.effective[i], **look.line(linestyle="-"))
        end = count, data.fields[i, count - 1]
        style.beside(axes, name, end, (0, 5), ha="center", bbox=style.HALO)
    axes.axhline(side, color=style.SOFT, linewidth=0.8)
    axes.text(23, side, "whole image", va="bottom")
    axes.set_ylim(3, 1500)
    style.ticks(axes.yaxis, (3, 10, 30, 100, 300, 1000))


def _draw_map(axes: Any, data: Depth, i: int) -> Any:
    from matplotlib.colors import PowerNorm
    from matplotlib.patches import Rectangle

    half = data.maps.shape[1] // 2
    means = data.maps[i].reshape(half, 2, half, 2).mean(axis=(1, 3))
    extent = (-0.5, 2 * half - 0.5, 2 * half - 0.5, -0.5)
    image = axes.imshow(means / means.max(), "magma", PowerNorm(0.5, 0, 1), interpolation="nearest", extent=extent)
    (top, left), (height, width) = _seen(data.maps[i])
    side = data.effective[i, -1]
    inner = left + (width - side) / 2 - 0.5, top + (height - side) / 2 - 0.5
    axes.add_patch(
        Rectangle((left - 0.5, top - 0.5), width, height, fill=False, color="white", linestyle=":", linewidth=2)
    )
    axes.add_patch(Rectangle(inner, side, side, fill=False, color=style.SKY, linewidth=1.5))
    return image


FIGURE = Figure(
    name="depth",
    lecture=("L1.1", "L2.2.1"),
    claim="networks became deeper and the error fell; every layer sees more of the picture",
    result=Depth,
    compute=compute,
    table=table,
    draw=draw,
    verdict=verdict,
)
