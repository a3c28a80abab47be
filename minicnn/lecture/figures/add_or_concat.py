"""Figure ``add-or-concat`` (L2.3.1): ResNet adds, DenseNet concatenates; what is reused, and what it costs.

Claim [Huang et al., CVPR 2017, Figure 5 and section 5]: every layer of a dense block can read the outputs of all layers
before it unchanged, and it does read them, also those from far back. A sum, as in ResNet, cannot be separated again.
The price is one concatenation per layer, so the memory of a dense block grows with the square of its depth.

A DenseNet-BC of 40 layers (three blocks of six, k = 12) and a ResNet-38 (three stages of six blocks) learn the 8 x 8
digits. Reuse is the paper's measure: the mean absolute weight of a layer's first convolution for the channels from each
source. A lesion tests whether reuse matters: every layer may read only its newest source. Memory is the measured peak
that a training step of one stage allocates.
"""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import nn, optim
from ...creation import randn
from ...models.cifar_resnet import CifarResNet
from ...models.densenet import DenseBlock, Transition
from ...models.resnet import BasicBlock, conv3x3
from ...random import manual_seed
from ...tensors import Tensor
from ...utils import style
from ..analyses.lesion import error_rate
from ..base import Figure, Settings, Size, Table
from ..training import digit_images, fit

BLOCKS, LAYERS, GROWTH = 3, 6, 12
WEIGHT_DECAY = 0.5  # AdamW's: weights of no use shrink to about a third in the few epochs here
STAGES = ("ResNet: add", "DenseNet: concatenate", "DenseNet, concatenating again in backward")


FULL = Size(epochs=8, depths=(2, 4, 8, 16, 32, 64))  # depths: blocks or layers of the measured stages
QUICK = Size(epochs=2, images=256, depths=(4, 8, 16))


class SmallDenseNet(nn.Module):
    """DenseNet-BC for small images: a 3x3 convolution, three dense blocks with transitions between, a linear layer.

    (N, in_channels, H, W) -> (N, num_classes).
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        channels = 2 * GROWTH
        self.stem = conv3x3(in_channels, channels)
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        for i in range(BLOCKS):
            self.blocks.append(DenseBlock(LAYERS, channels, GROWTH, drop_rate=0.0, memory_efficient=False))
            channels += LAYERS * GROWTH
            if i < BLOCKS - 1:
                self.transitions.append(Transition(channels, channels // 2))
                channels //= 2
        self.norm = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks[0](self.stem(x))  # (N, 96, H, W)
        for transition, block in zip(self.transitions, list(self.blocks)[1:], strict=True):
            x = block(transition(x))  # (N, 120, H/2, W/2), (N, 132, H/4, W/4)
        x = nn.functional.relu(self.norm(x))
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


@dataclass
class AddOrConcat:
    """The data of the figure.

    ``reuse`` (3, 7, 7): for each dense block the mean absolute weight with which layer l (column l - 1; the last column
    belongs to the layer after the block) reads source s (row s; 0 is the block's input), NaN for s >= l. ``parameters``
    (2,) and ``errors`` (2,): of the ResNet and the DenseNet, test error in per cent. ``lesion``: the DenseNet's when
    every layer reads its newest source alone. ``depths`` (D,) and ``memory`` (3, D): layers or blocks of a stage, and
    the peak of a training step in KiB per image, for ``STAGES``.
    """

    reuse: np.ndarray
    parameters: np.ndarray
    errors: np.ndarray
    lesion: float
    depths: np.ndarray
    memory: np.ndarray


def sources(block: nn.Module, read: int) -> list[slice]:
    """The channels of each source among ``read`` channels: the block's input first, then k from each of its layers."""
    first = next(iter(block.values())).norm1.num_features
    starts = [0, *range(first, read, GROWTH)]
    return [slice(*ends) for ends in zip(starts, [*starts[1:], read], strict=True)]


def feature_reuse(net: SmallDenseNet) -> np.ndarray:
    """The mean absolute weights ``AddOrConcat.reuse`` (3, 7, 7)."""
    reuse = np.full((BLOCKS, LAYERS + 1, LAYERS + 1), np.nan)
    after = [*(transition.conv.weight for transition in net.transitions), net.fc.weight]
    for i, block in enumerate(net.blocks):
        readers = [*(layer.conv1.weight for layer in block.values()), after[i]]
        for column, weight in enumerate(readers):
            size = np.abs(weight.detach().cpu().numpy())  # (K, C, 1, 1), or (K, C) for the classifier
            for row, channels in enumerate(sources(block, size.shape[1])):
                reuse[i, row, column] = size[:, channels].mean()
    return reuse


def error_without_reuse(net: SmallDenseNet, images: Tensor, labels: Tensor) -> float:
    """Test error in per cent when layers read their newest source alone. ``net`` is restored afterwards."""
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    for block in net.blocks:
        for layer in block.values():
            weight = layer.conv1.weight.detach()
            older = sources(block, weight.shape[1])[-1].start
            weight[:, :older] = 0.0
    error = error_rate(net, images, labels)
    net.load_state_dict(kept)
    return error


def training_memory(kind: str, depth: int, batch_size: int = 8) -> float:
    """Peak KiB per image that one training step of a stage of ``depth`` allocates on (N, 24, 8, 8) maps.

    Blocks of two 3x3 convolutions that keep the 24 channels, or bottlenecked dense layers that add 12 each.
    """
    from ...backend.cpu import memory

    channels = 2 * GROWTH
    if kind == STAGES[0]:
        stage: nn.Module = nn.Sequential(*(BasicBlock(channels, channels) for _ in range(depth)))
    else:
        stage = DenseBlock(depth, channels, GROWTH, drop_rate=0.0, memory_efficient=kind == STAGES[2])
    x = randn(batch_size, channels, 8, 8, requires_grad=True)
    stage(x).sum().backward()  # makes the gradients of the weights: they do not count as activations
    peaks = []
    for _ in range(2):  # the less counts: other threads of the process are measured, too
        tracemalloc.start()
        try:
            with memory.counted() as large:  # which tracemalloc does not see
                stage(x).sum().backward()
            peaks.append(tracemalloc.get_traced_memory()[1] + large[0])
        finally:
            tracemalloc.stop()
    return min(peaks) / batch_size / 1024


def compute(settings: Settings) -> AddOrConcat:
    """Train both networks, read the DenseNet's weights, measure the stages."""
    size = QUICK if settings.quick else FULL
    data = digit_images("train", size.images)
    images, labels = (Tensor(array).to(settings.device) for array in digit_images("test", size.images))
    manual_seed(settings.seed)
    adding = CifarResNet(BasicBlock, 2 + 6 * LAYERS, in_channels=1)
    concatenating = SmallDenseNet()
    for net, name in ((adding, "ResNet"), (concatenating, "DenseNet")):

        def tell(epoch: int, loss: float, error: float, name: str = name) -> None:
            settings.progress(f"{name}, epoch {epoch} of {size.epochs}: loss {loss:.3f}, error {error:.1f} %")

        rng = np.random.default_rng(settings.seed)
        fit(net.to(settings.device), data, size.epochs, rng, 0.01, 64, optim.AdamW, tell, weight_decay=WEIGHT_DECAY)
    parameters = np.array([sum(p.numel() for p in net.parameters()) for net in (adding, concatenating)])
    errors = np.array([error_rate(net, images, labels) for net in (adding, concatenating)])
    settings.progress("DenseNet: feature reuse, and its lesion")
    reuse, lesion = feature_reuse(concatenating), error_without_reuse(concatenating, images, labels)
    settings.progress("memory of a training step of one stage")
    memory = np.array([[training_memory(kind, depth) for depth in size.depths] for kind in STAGES])
    return AddOrConcat(reuse, parameters, errors, lesion, np.array(size.depths), memory)


def growth(data: AddOrConcat) -> np.ndarray:
    """For each of ``STAGES``: the factor of memory when the deepest measured stage is made twice as deep.

    Computed from the two deepest: 2 means proportional to depth, 4 to its square.
    """
    deep, deeper = data.depths[-2:]
    return (data.memory[:, -1] / data.memory[:, -2]) ** (np.log(2) / np.log(deeper / deep))


def table(data: AddOrConcat) -> Table:
    """Parameters, errors and memory of adding and concatenating."""
    header = ["", "parameters", "test error %", "newest source alone %"]
    header += [f"KiB at {depth}" for depth in data.depths] + ["twice as deep"]
    trained: list[list[Any]] = [
        [int(data.parameters[0]), round(float(data.errors[0]), 2), ""],
        [int(data.parameters[1]), round(float(data.errors[1]), 2), round(float(data.lesion), 2)],
        ["", "", ""],
    ]
    costs = zip(data.memory.round(), growth(data).round(2), strict=True)
    return header, [
        [name, *left, *map(int, memory), f"x {factor}"]
        for name, left, (memory, factor) in zip(STAGES, trained, costs, strict=True)
    ]


def verdict(data: AddOrConcat) -> str:
    """What was seen."""
    far = [data.reuse[:, row, column].mean() for column in range(2, LAYERS) for row in range(column)]
    near = [data.reuse[:, column, column].mean() for column in range(2, LAYERS)]
    factors = growth(data)
    return (
        f"trained dense layers give older sources {np.mean(far) / np.mean(near):.2f} times the weight of the newest "
        f"(1 before training); without the older ones the test error went from {data.errors[1]:.1f} to "
        f"{data.lesion:.1f} %; twice as deep a stage takes {factors[0]:.1f} times the memory when it adds, "
        f"{factors[1]:.1f} when it concatenates, {factors[2]:.1f} when it concatenates again in backward"
    )


def draw(data: AddOrConcat) -> Any:
    """A heat map for each dense block, as in the paper's Figure 5; memory against depth; errors."""
    drawing = style.picture(6.6)
    above, below = drawing.subfigures(2, 1, height_ratios=[1.15, 1])
    maps = above.subplots(1, BLOCKS)
    for i, (axes, reuse) in enumerate(zip(maps, data.reuse, strict=True)):
        shares = reuse / np.nanmax(reuse, axis=0)
        image = axes.imshow(shares, cmap="viridis", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            if np.isfinite(share):
                colour = "white" if share < 0.6 else "black"
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=8)
        last = "tran-\nsition" if i < BLOCKS - 1 else "class-\nifier"
        axes.set_xticks(range(LAYERS + 1), [*map(str, range(1, LAYERS + 1)), last])
        axes.set_yticks(range(LAYERS + 1), ["input", *map(str, range(1, LAYERS + 1))] if i == 0 else [])
        axes.set(title=f"dense block {i + 1}", xlabel="reading layer")
    maps[0].set_ylabel("source layer")
    above.colorbar(image, ax=maps, label="mean |weight|, 1: the reader's largest", fraction=0.025)
    memory, errors = below.subplots(1, 2, width_ratios=[1.7, 1])
    looks = (style.FAMILIES["ResNet"], style.FAMILIES["DenseNet"], style.FAMILIES["DenseNet"])
    for line, look, filled in zip(data.memory, looks, ("full", "full", "none"), strict=True):
        memory.plot(data.depths, line / 1024, **look.line(fillstyle=filled))
    memory.set(
        title="memory of a training step", xlabel="blocks or layers of a stage", ylabel="peak MiB per image", ylim=0
    )
    names = [name.replace("DenseNet, concatenating again in backward", "again in backward") for name in STAGES]
    style.label_ends(memory, [(n, data.depths[-1], m / 1024) for n, m in zip(names, data.memory[:, -1], strict=True)])
    rates = (*data.errors, float(data.lesion))
    bars = errors.barh(["ResNet", "DenseNet", "newest\nsource alone"], rates, color=style.FAINT, height=0.6)
    errors.bar_label(bars, [f"{rate:.1f}" for rate in rates], padding=3)
    errors.set(title="test error (%)", xlim=(0, 100))
    errors.invert_yaxis()
    drawing.suptitle("Add or concatenate (L2.3.1): DenseNet-BC-40 (k = 12) and ResNet-38 on 8x8 digits")
    return drawing


FIGURE = Figure(
    name="add-or-concat",
    lecture=("L2.3.1",),
    claim="dense layers read features from far back; concatenations cost memory with the square of the depth",
    result=AddOrConcat,
    compute=compute,
    table=table,
    draw=draw,
    verdict=verdict,
)
