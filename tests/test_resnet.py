"""Homework 4: residual networks. `pytest tests/test_resnet.py` grades assignments/hw4_resnet."""

import numpy as np

import minicnn
from minicnn import nn
from minicnn.course.checks import Draw, points
from minicnn.course.drivers import fill, gradients, parameters, raises, tensor
from minicnn.nn.summary import multiply_adds

# ---- hw4.1 the residual addition -----------------------------------------------------------------------------------


def sum_case(draw: Draw) -> dict:
    """A branch and a shortcut of one shape, from a vector to a batch of images; and a branch that adds nothing."""
    shape = [(3,), (1, 2, 3, 4), (2, 5), (2, 3, 4, 3), (2, 3)][draw.index % 5]
    return {"branch": draw.normal(*shape) * (draw.index != 4), "shortcut": draw.normal(*shape)}


MISMATCHED = [
    {"branch": (2, 3, 4, 4), "shortcut": (2, 1, 4, 4)},
    {"branch": (1, 3, 4, 4), "shortcut": (2, 3, 4, 4)},
    {"branch": (2, 4, 3, 3), "shortcut": (2, 2, 6, 6)},
    {"branch": (2, 3), "shortcut": (3,)},
    {"branch": (3, 1), "shortcut": (1, 3)},
]


@points("hw4.1", 2, "the sum, in a new tensor", cases=sum_case, count=5)
def test_residual_sum(resnet, branch, shortcut):
    total = resnet.residual_add(tensor(branch), tensor(shortcut))
    shared = [name for name, x in (("branch", branch), ("shortcut", shortcut)) if np.shares_memory(total.array, x)]
    return {"sum": total, "shares its memory with": ", ".join(shared) or "nothing"}


@points("hw4.1", 3, "its gradients at branch and shortcut", cases=sum_case, count=4)
def test_residual_sum_gradients(resnet, **arrays):
    leaves = {name: tensor(array, requires_grad=True) for name, array in arrays.items()}
    return gradients(resnet.residual_add(*leaves.values()), leaves, seed=1)


@points("hw4.1", 1, "the gradient at x, which reaches it through branch and shortcut", cases=sum_case, count=2)
def test_residual_gradient_through_both(resnet, branch, shortcut):
    x = tensor(shortcut, requires_grad=True)
    return gradients(resnet.residual_add(x * tensor(branch), x), {"x": x}, seed=2)


@points("hw4.1", 2, "the error for shapes that differ", cases=MISMATCHED)
def test_residual_shapes(resnet, branch, shortcut):
    return {"raises": raises(resnet.residual_add, minicnn.ones(*branch), minicnn.ones(*shortcut))}


# ---- hw4.2 and hw4.3 the two blocks --------------------------------------------------------------------------------


class Scale(nn.Module):
    """A norm that is none: a weight and a bias a channel."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(minicnn.ones(channels))
        self.bias = nn.Parameter(minicnn.zeros(channels))

    def forward(self, x):
        return x * self.weight.reshape(-1, 1, 1) + self.bias.reshape(-1, 1, 1)


def built(Block, inplanes, planes, stride, seed, shortcut=False, **options):
    """A block with weights from ``seed``; with another shortcut than the identity where asked for."""
    if shortcut:
        options["downsample"] = nn.Conv2d(inplanes, planes * Block.expansion, 1, stride)
    return fill(Block(inplanes, planes, stride, **options), seed)


def trained(block, x, training):
    """The output, and the running statistics after it where the norms have any."""
    output = block.train(training)(tensor(x))
    statistics = {key: value for key, value in block.state_dict().items() if "running" in key}
    return {"output": output, **(statistics if training else {})}


def same_shape_case(draw: Draw) -> dict:
    """What comes in goes out in the same shape; the shortcut is x."""
    x = draw.normal(draw.size(1, 3), 4, draw.size(3, 6), draw.size(4, 7))
    return {"x": x, "training": draw.index != 2, "seed": draw.seed()}


def shortcut_case(draw: Draw) -> dict:
    """A module in the shortcut: with the stride, with the width, with both, with neither; sizes odd and even."""
    stride, width = [(2, 4), (1, 8), (2, 8), (1, 4), (3, 8)][draw.index % 5]
    x = draw.normal(draw.size(1, 3), 4, draw.integer(4, 7), draw.integer(5, 8))
    return {"x": x, "width": width, "stride": stride, "seed": draw.seed()}


def gradient_case(draw: Draw) -> dict:
    """The identity, then a module in the shortcut."""
    x = draw.normal(draw.integer(1, 2), 4, draw.integer(3, 5), draw.integer(4, 6))
    return {"x": x, "stride": 1 + draw.index % 2, "shortcut": draw.index > 0, "seed": draw.seed()}


BLOCKS = [{"inplanes": 4, "stride": 1}, {"inplanes": 5, "stride": 2}]
TOO_MUCH = [{"options": {"groups": 2}}, {"options": {"base_width": 4}}, {"options": {"dilation": 2}}, {"options": {}}]


@points("hw4.2", 3, "the names and shapes of the parameters", cases=BLOCKS)
def test_basic_block_parameters(resnet, inplanes, stride):
    block = resnet.BasicBlock(inplanes, 6, stride, nn.Linear(2, 3))
    return {**parameters(block), "stride": block.stride}


@points("hw4.2", 4, "the output where the shortcut is x", cases=same_shape_case, count=4)
def test_basic_block_output(resnet, x, training, seed):
    return trained(built(resnet.BasicBlock, 4, 4, 1, seed), x, training)


@points("hw4.2", 4, "the output with a module in the shortcut", cases=shortcut_case, count=5)
def test_basic_block_shortcut(resnet, x, width, stride, seed):
    return trained(built(resnet.BasicBlock, 4, width, stride, seed, shortcut=True), x, training=True)


@points("hw4.2", 4, "the gradients at input and parameters", cases=gradient_case, count=3)
def test_basic_block_gradients(resnet, x, stride, shortcut, seed):
    block = built(resnet.BasicBlock, 4, 4, stride if shortcut else 1, seed, shortcut)
    x = tensor(x, requires_grad=True)
    return gradients(block(x), {"x": x, **dict(block.named_parameters())}, seed)


@points("hw4.2", 2, "the output with another norm_layer", cases=same_shape_case, count=2)
def test_basic_block_norm_layer(resnet, x, training, seed):
    return trained(built(resnet.BasicBlock, 4, 4, 1, seed, norm_layer=Scale), x, training)


@points("hw4.2", 1, "the error for groups, base_width and dilation", cases=TOO_MUCH)
def test_basic_block_refuses(resnet, options):
    return {"raises": raises(resnet.BasicBlock, 4, 4, **options)}


def bottleneck_case(draw: Draw) -> dict:
    """As ``shortcut_case``, for a block that puts out four times its ``planes``."""
    return {**shortcut_case(draw), "width": 2 + draw.index % 2}


GROUPED = [
    {"planes": 4, "stride": 1, "options": {"groups": 2, "base_width": 64}},
    {"planes": 5, "stride": 1, "options": {"groups": 2, "base_width": 48}},
    {"planes": 3, "stride": 1, "options": {"groups": 1, "base_width": 120}},
    {"planes": 4, "stride": 1, "options": {"dilation": 2}},
    {"planes": 3, "stride": 2, "options": {"dilation": 3, "groups": 3, "base_width": 48}},
]


def grouped_case(draw: Draw) -> dict:
    """ResNeXt's and the dilated networks' 3x3; widths that 64 does not divide."""
    return {"x": draw.normal(1, 4, 5, 6), "seed": draw.seed(), **GROUPED[draw.index % 5]}


BOTTLENECKS = [{"inplanes": 4, "variant": "paper"}, {"inplanes": 24, "variant": "torchvision"}]


@points("hw4.3", 3, "the names and shapes of the parameters", cases=BOTTLENECKS)
def test_bottleneck_parameters(resnet, inplanes, variant):
    block = resnet.Bottleneck(inplanes, 6, 2, nn.Linear(2, 3), variant=variant)
    return {**parameters(block), "stride": block.stride}


@points("hw4.3", 3, "the output where the shortcut is x", cases=same_shape_case, count=4)
def test_bottleneck_output(resnet, x, training, seed):
    return trained(built(resnet.Bottleneck, 4, 1, 1, seed), x, training)


@points("hw4.3", 3, "the output of the paper's variant", cases=bottleneck_case, count=5)
def test_bottleneck_paper(resnet, x, width, stride, seed):
    return trained(built(resnet.Bottleneck, 4, width, stride, seed, shortcut=True), x, training=True)


@points("hw4.3", 3, "the output of torchvision's variant", cases=bottleneck_case, count=5)
def test_bottleneck_torchvision(resnet, x, width, stride, seed):
    block = built(resnet.Bottleneck, 4, width, stride, seed, shortcut=True, variant="torchvision")
    return trained(block, x, training=True)


@points("hw4.3", 3, "the gradients at input and parameters", cases=gradient_case, count=3)
def test_bottleneck_gradients(resnet, x, stride, shortcut, seed):
    block = built(resnet.Bottleneck, 4, 1, stride if shortcut else 1, seed, shortcut)
    x = tensor(x, requires_grad=True)
    return gradients(block(x), {"x": x, **dict(block.named_parameters())}, seed)


@points("hw4.3", 2, "groups, base_width and dilation of the 3x3", cases=grouped_case, count=5)
def test_bottleneck_groups(resnet, x, planes, stride, options, seed):
    block = built(resnet.Bottleneck, 4, planes, stride, seed, shortcut=True, **options)
    return {**parameters(block), **trained(block, x, training=True)}


@points("hw4.3", 1, "the output with another norm_layer", cases=same_shape_case, count=2)
def test_bottleneck_norm_layer(resnet, x, training, seed):
    return trained(built(resnet.Bottleneck, 4, 1, 1, seed, norm_layer=Scale), x, training)


# ---- hw4.4 and hw4.5 the two shortcuts -----------------------------------------------------------------------------


def even_case(draw: Draw) -> dict:
    """What the networks ask for: twice the channels at half the size."""
    return {"x": draw.normal(draw.size(1, 3), 3, 2 * draw.size(1, 3), 2 * draw.size(2, 4)), "planes": 6, "stride": 2}


def odd_case(draw: Draw) -> dict:
    """Sizes that the stride does not divide, and other numbers of new channels."""
    x = draw.normal(draw.size(1, 2), 3, 2 * draw.integer(1, 3) + 1, 2 * draw.integer(1, 3) + 1)
    return {"x": x, "planes": [4, 7, 5][draw.index % 3], "stride": 2}


def one_change_case(draw: Draw) -> dict:
    """Only new channels, only a smaller size, another stride, nothing at all."""
    stride, planes = [(1, 5), (2, 3), (3, 4), (1, 3), (4, 8)][draw.index % 5]
    return {"x": draw.normal(draw.size(1, 2), 3, draw.integer(4, 6), draw.integer(5, 9)), "planes": planes,
            "stride": stride}  # fmt: skip


@points("hw4.4", 3, "twice the channels at half the size", cases=even_case, count=4)
def test_zero_pad_shortcut(cifar_resnet, x, planes, stride):
    return {"output": cifar_resnet.ZeroPadShortcut(3, planes, stride)(tensor(x))}


@points("hw4.4", 2, "odd sizes and other numbers of channels", cases=odd_case)
def test_zero_pad_shortcut_odd_sizes(cifar_resnet, x, planes, stride):
    return {"output": cifar_resnet.ZeroPadShortcut(3, planes, stride)(tensor(x))}


@points("hw4.4", 2, "only new channels, only a smaller size, other strides", cases=one_change_case, count=5)
def test_zero_pad_shortcut_one_change(cifar_resnet, x, planes, stride):
    return {"output": cifar_resnet.ZeroPadShortcut(3, planes, stride)(tensor(x))}


@points("hw4.4", 3, "the gradient at the input", cases=one_change_case, count=5)
def test_zero_pad_shortcut_gradient(cifar_resnet, x, planes, stride):
    x = tensor(x, requires_grad=True)
    return gradients(cifar_resnet.ZeroPadShortcut(3, planes, stride)(x), {"x": x}, seed=3)


def projection_case(draw: Draw) -> dict:
    return {**one_change_case(draw), "seed": draw.seed()}


@points("hw4.5", 2, "the names and shapes of the parameters", cases=[{"stride": 1}, {"stride": 2}])
def test_projection_parameters(resnet, stride):
    return parameters(resnet.projection(3, 5, stride))


@points("hw4.5", 4, "the output", cases=projection_case, count=5)
def test_projection_output(resnet, x, planes, stride, seed):
    return trained(fill(resnet.projection(3, planes, stride), seed), x, training=True)


@points("hw4.5", 3, "the gradients at input and parameters", cases=projection_case, count=3)
def test_projection_gradients(resnet, x, planes, stride, seed):
    shortcut = fill(resnet.projection(3, planes, stride), seed)
    x = tensor(x, requires_grad=True)
    return gradients(shortcut(x), {"x": x, **dict(shortcut.named_parameters())}, seed)


@points("hw4.5", 1, "the output with another norm_layer", cases=projection_case, count=2)
def test_projection_norm_layer(resnet, x, planes, stride, seed):
    return trained(fill(resnet.projection(3, planes, stride, Scale), seed), x, training=True)


# ---- hw4.6 a stage of blocks ---------------------------------------------------------------------------------------


class Recorder(nn.Module):
    """A block without layers that remembers what it was asked for."""

    expansion = 1

    def __init__(self, inplanes, planes, stride=1, downsample=None, groups=1, base_width=64, dilation=1,
                 norm_layer=None, variant="paper"):  # fmt: skip
        super().__init__()
        self.asked = {"inplanes": inplanes, "planes": planes, "stride": stride, "dilation": dilation}
        self.options = {"groups": groups, "base_width": base_width, "variant": variant,
                        "norm_layer": getattr(norm_layer, "__name__", "None")}  # fmt: skip
        self.downsample = downsample

    def forward(self, x):
        return x


class WideRecorder(Recorder):
    """Puts out twice its ``planes``."""

    expansion = 2


def recorders(network, **options):
    """A network of blocks that only remember."""
    with nn.init.skip():
        return network(**options)


def stage_of(resnet, wide, inplanes, planes, blocks, stride, dilate=False, dilation=1, **options):
    """One more stage of a network that puts out ``inplanes`` channels, and the network after it."""
    block = WideRecorder if wide else Recorder
    model = recorders(resnet.ResNet, block=block, layers=(1, 1, 1, 1), **options)
    model.inplanes, model.dilation = inplanes, dilation
    with nn.init.skip():
        return list(model._make_layer(block, planes, blocks, stride, dilate)), model


def told(values):
    return ", ".join(f"{name}={value}" for name, value in values.items())


def shortcut_of(block, channels):
    """What is in the shortcut, by what it makes of a map of 4 x 6."""
    if block.downsample is None:
        return "x itself"
    return f"(1, {channels}, 4, 6) becomes {block.downsample(minicnn.ones(1, channels, 4, 6)).shape}"


def stage_case(draw: Draw) -> dict:
    """Wide blocks or not, one block or several, a stride or none, as many channels as before or others."""
    wide, inplanes, planes, stride = [
        (False, 4, 8, 2),
        (False, 4, 4, 1),
        (True, 4, 4, 1),
        (False, 6, 6, 2),
        (True, 8, 4, 2),
        (True, 8, 4, 1),
        (True, 6, 8, 2),
        (False, 4, 6, 3),
    ][draw.index % 8]
    blocks = [2, 3, 1, 4, 2, 3, 5, 1][draw.index % 8]
    return {"wide": wide, "inplanes": inplanes, "planes": planes, "blocks": blocks, "stride": stride}


def dilated_case(draw: Draw) -> dict:
    """Dilation instead of a stride, in one stage, after a dilated one; and a stage with neither after that."""
    dilate, dilation, stride = [(True, 1, 2), (True, 2, 2), (False, 2, 1), (True, 2, 3), (True, 1, 1)][draw.index % 5]
    blocks, planes = draw.integer(2, 3), draw.choice([4, 8])
    return {"wide": False, "inplanes": 4, "planes": planes, "blocks": blocks, "stride": stride, "dilate": dilate,
            "dilation": dilation}  # fmt: skip


@points("hw4.6", 5, "how many blocks, their widths and strides", cases=stage_case, count=8)
def test_stage_blocks(resnet, **case):
    stage, model = stage_of(resnet, **case)
    return {
        "number of blocks": len(stage),
        "number of different blocks": len(set(map(id, stage))),
        **{f"block {number}": told(block.asked) for number, block in enumerate(stage)},
        "inplanes after the stage": model.inplanes,
    }


@points("hw4.6", 4, "which blocks have a projection in the shortcut", cases=stage_case, count=8)
def test_stage_shortcuts(resnet, inplanes, **case):
    stage, _ = stage_of(resnet, inplanes=inplanes, **case)
    width = case["planes"] * (1 + case["wide"])
    return {f"shortcut of block {n}": shortcut_of(block, width if n else inplanes) for n, block in enumerate(stage)}


OPTIONS = {
    "groups": {"groups": 4, "width_per_group": 8},
    "variant": {"variant": "torchvision"},
    "norm_layer": {"norm_layer": Scale},
}


@points(
    "hw4.6",
    2,
    "groups, base_width, norm_layer and variant of the blocks",
    cases=[{"option": name} for name in OPTIONS],
)
def test_stage_options(resnet, option):
    stage, _ = stage_of(resnet, wide=False, inplanes=4, planes=8, blocks=3, stride=2, **OPTIONS[option])
    norms = {} if stage[0].downsample is None else parameters(stage[0].downsample)
    return {
        **{f"block {number}": told(block.options) for number, block in enumerate(stage)},
        "parameters in the shortcut": told(norms),
    }


@points("hw4.6", 4, "dilation in place of a stride", cases=dilated_case, count=5)
def test_stage_dilation(resnet, **case):
    stage, model = stage_of(resnet, **case)
    return {
        **{f"block {number}": told(block.asked) for number, block in enumerate(stage)},
        "shortcut of block 0": shortcut_of(stage[0], case["inplanes"]),
        "dilation after the stage": model.dilation,
    }


@points("hw4.6", 1, "a plain network, which has no shortcuts", cases=[{"stride": 1}, {"stride": 2}])
def test_plain_stage(resnet, stride):
    model = recorders(resnet.ResNet, block=Recorder, layers=(1, 1, 1, 1))
    stage = model._make_layer(resnet.PlainBlock, 6, 2, stride)
    return {
        f"shortcut of block {n}": "none" if block.downsample is None else "a module" for n, block in enumerate(stage)
    }


# ---- hw4.7 the five networks ---------------------------------------------------------------------------------------

NETWORKS = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "plain34"]
STAGES = ["layer1", "layer2", "layer3", "layer4"]


def undrawn(resnet, name, **options):
    """A network of the table, without drawing its weights."""
    with nn.init.skip():
        return getattr(resnet, name)(**options)


def image_case(draw: Draw) -> dict:
    sides = [(8, 11), (15, 9), (12, 12)][draw.index % 3]
    return {"x": draw.normal(1 + draw.index, 3, *sides), "training": draw.index != 1, "seed": draw.seed()}


def narrow(resnet, seed):
    """The network with two channels everywhere: each stage is an affine map of them."""

    class Narrow(resnet.ResNet):
        def __init__(self):
            nn.Module.__init__(self)
            self.conv1, self.bn1, self.relu = nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.ReLU()
            self.maxpool = nn.MaxPool2d(3, 2, 1)
            for name in STAGES:
                setattr(self, name, nn.Conv2d(2, 2, 1))
            self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(2, 3)

    return fill(Narrow(), seed)


@points("hw4.7", 4, "the order of stem, stages and head", cases=image_case, count=3)
def test_network_logits(resnet, x, training, seed):
    return trained(narrow(resnet, seed), x, training)


@points("hw4.7", 4, "blocks and parameters of each stage", cases=[{"name": name} for name in NETWORKS])
def test_network_parameters(resnet, name):
    model = undrawn(resnet, name)
    stages = {stage: getattr(model, stage) for stage in STAGES}
    kinds = {stage: sorted({type(block).__name__ for block in blocks}) for stage, blocks in stages.items()}
    return {
        **{f"blocks of {stage}": f"{len(blocks)} x {', '.join(kinds[stage])}" for stage, blocks in stages.items()},
        **{f"parameters of {stage}": numbers(blocks) for stage, blocks in stages.items()},
        "parameters of the network": numbers(model),
    }


def numbers(module):
    """How many numbers, in how many tensors."""
    sizes = [parameter.numel() for parameter in module.parameters()]
    return f"{sum(sizes):,} in {len(sizes)} tensors"


@points("hw4.7", 2, "multiply-adds on a picture of 224 x 224", cases=[{"name": name} for name in NETWORKS[:3]])
def test_network_multiply_adds(resnet, name):
    return {"multiply-adds": multiply_adds(undrawn(resnet, name))}


ASKED = [
    {"name": "resnet50", "options": {"variant": "torchvision"}},
    {"name": "resnet18", "options": {"num_classes": 10, "in_channels": 1}},
    {"name": "resnet50", "options": {"groups": 32, "width_per_group": 4}},
    {"name": "resnet50", "options": {"replace_stride_with_dilation": (False, True, True)}},
]


@points("hw4.7", 2, "num_classes, in_channels, variant, groups and dilation", cases=ASKED)
def test_network_options(resnet, name, options):
    model = undrawn(resnet, name, **options)
    channels = options.get("in_channels", 3)
    return {
        "shape of the weights of fc": model.fc.weight.shape,
        "shape of the weights of conv1": model.conv1.weight.shape,
        "multiply-adds": multiply_adds(model, (channels, 64, 64)),
    }


# ---- hw4.8 networks for small images -------------------------------------------------------------------------------

DEPTHS = [{"depth": depth} for depth in (8, 20, 32, 44, 56, 110, 1202)]
OTHER_DEPTHS = [{"depth": depth} for depth in (2, 18, 21, 19, 0, -4, 34, 20)]


@points("hw4.8", 2, "the number of blocks a stage", cases=DEPTHS)
def test_blocks_per_stage(cifar_resnet, depth):
    return {"n": cifar_resnet.blocks_per_stage(depth)}


@points("hw4.8", 1, "the error for a depth that is not 6n + 2", cases=OTHER_DEPTHS)
def test_other_depths(cifar_resnet, depth):
    return {"raises": raises(cifar_resnet.blocks_per_stage, depth)}


def small_stage_case(draw: Draw) -> dict:
    inplanes, planes, stride, blocks = [(4, 4, 1, 2), (4, 8, 2, 3), (4, 4, 2, 2), (3, 7, 1, 1)][draw.index % 4]
    return {"inplanes": inplanes, "planes": planes, "stride": stride, "blocks": blocks}


def small_stage(cifar_resnet, inplanes, planes, stride, blocks):
    """One more stage of a network that puts out ``inplanes`` channels, and the network after it."""
    model = recorders(cifar_resnet.CifarResNet, block=Recorder, depth=8)
    model.inplanes = inplanes
    return list(model._make_layer(Recorder, planes, blocks, stride)), model


@points("hw4.8", 2, "the blocks of a stage, their widths and strides", cases=small_stage_case, count=4)
def test_small_stage_blocks(cifar_resnet, **case):
    stage, model = small_stage(cifar_resnet, **case)
    return {
        "number of blocks": len(stage),
        "number of different blocks": len(set(map(id, stage))),
        **{f"block {number}": told(block.asked) for number, block in enumerate(stage)},
        "inplanes after the stage": model.inplanes,
    }


@points("hw4.8", 2, "which blocks have zeros in the shortcut", cases=small_stage_case, count=4)
def test_small_stage_shortcuts(cifar_resnet, inplanes, planes, **case):
    stage, _ = small_stage(cifar_resnet, inplanes, planes, **case)
    widths = [inplanes, *[planes] * (len(stage) - 1)]
    return {
        f"shortcut of block {n}": f"{shortcut_of(block, width)}, {weights(block.downsample)}"
        for n, (block, width) in enumerate(zip(stage, widths, strict=True))
    }


def weights(shortcut):
    return "no weights" if shortcut is None else f"{sum(p.numel() for p in shortcut.parameters())} weights"


@points("hw4.8", 1, "a plain network, which has no shortcuts", cases=[{"stride": 1}, {"stride": 2}])
def test_small_plain_stage(cifar_resnet, stride):
    model = recorders(cifar_resnet.CifarResNet, block=Recorder, depth=8)
    stage = model._make_layer(cifar_resnet.PlainBlock, 32, 2, stride)
    return {
        f"shortcut of block {n}": "none" if block.downsample is None else "a module" for n, block in enumerate(stage)
    }
