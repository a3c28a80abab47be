"""Homework 5: DenseNet, SENet, EfficientNet. `pytest tests/test_beyond.py` grades assignments/hw5_beyond."""

from functools import partial

import numpy as np

from minicnn import nn
from minicnn.course.checks import Draw, points
from minicnn.course.drivers import dropping, fill, gradients, parameters, run, tensor
from minicnn.models.efficientnet import SCALING
from minicnn.models.senet import SqueezeExcitation
from minicnn.nn import functional as F

# ---- hw5.1 the dense layer -----------------------------------------------------------------------------------------


def earlier_case(draw: Draw) -> dict:
    """What a layer reads: the block's input, and k = 2 channels from each layer before.

    First as many channels as the bottleneck has, 8, in pieces of equal size: no shape gives a mix-up away.
    """
    n, height, width = draw.size(1, 3), draw.integer(2, 4), draw.integer(3, 5)
    depths = [(4, 4), (3, 2), (5,), (4, 2, 2)][draw.index % 4]
    return {**{f"x{i}": draw.normal(n, depth, height, width) for i, depth in enumerate(depths)}, "seed": draw.seed()}


def dense_layer(densenet, arrays: dict, seed: int, training: bool, **options):
    channels = sum(array.shape[1] for array in arrays.values())
    return fill(densenet.DenseLayer(channels, 2, **options), seed).train(training)


@points("hw5.1", 2, "the parameters and the two options", cases=[{"channels": 6, "k": 3}, {"channels": 16, "k": 4}])
def test_dense_layer_parameters(densenet, channels, k):
    layer = densenet.DenseLayer(channels, k, drop_rate=0.25, memory_efficient=True)
    return {**parameters(layer), "drop_rate": layer.drop_rate, "memory_efficient": layer.memory_efficient}


@points("hw5.1", 5, "the output in evaluation", cases=earlier_case)
def test_dense_layer_output(densenet, seed, **arrays):
    layer = dense_layer(densenet, arrays, seed, training=False)
    return {"output": layer([tensor(array) for array in arrays.values()])}


@points("hw5.1", 3, "the output in training, and the running statistics after it", cases=earlier_case, count=4)
def test_dense_layer_in_training(densenet, seed, **arrays):
    layer = dense_layer(densenet, arrays, seed, training=True)
    output = layer([tensor(array) for array in arrays.values()])
    return {"output": output, **{key: value for key, value in layer.named_buffers() if "running" in key}}


@points("hw5.1", 4, "the gradients at all earlier outputs and at the parameters", cases=earlier_case, count=4)
def test_dense_layer_gradients(densenet, seed, **arrays):
    layer = dense_layer(densenet, arrays, seed, training=True)
    leaves = {name: tensor(array, requires_grad=True) for name, array in arrays.items()}
    return gradients(layer(list(leaves.values())), {**leaves, **dict(layer.named_parameters())}, seed)


@points("hw5.1", 1, "dropout, with probability 1, in training and in evaluation", cases=earlier_case, count=2)
def test_dense_layer_dropout(densenet, seed, **arrays):
    xs = [tensor(array) for array in arrays.values()]
    layer = dense_layer(densenet, arrays, seed, training=False, drop_rate=1.0)
    return {"output in evaluation": layer(xs), "output in training": layer.train()(xs)}


@points("hw5.1", 1, "which values are dropped, and what becomes of the others", cases=[{"p": 0.2}, {"p": 0.7}])
def test_dense_layer_drops_some_values(densenet, p):
    layer = fill(densenet.DenseLayer(5, 4, p), 7)
    x = tensor(np.random.default_rng(7).standard_normal((2, 16, 9, 11)))
    layer.norm2.eval()  # only the dropout tells training from evaluation
    dropped = layer.grow(x)
    return dropping(dropped, layer.eval().grow(x), p)


# ---- hw5.2 the dense block -----------------------------------------------------------------------------------------


def block_case(draw: Draw) -> dict:
    x = draw.normal(draw.size(1, 3), draw.integer(3, 5), draw.integer(2, 4), draw.integer(3, 5))
    return {"x": x, "layers": [2, 3, 1, 0, 4, 11][draw.index % 6], "seed": draw.seed()}


def dense_block(densenet, x, layers: int, seed: int, drop_rate: float = 0.0):
    return fill(densenet.DenseBlock(layers, x.shape[1], 2, drop_rate, False), seed)


@points("hw5.2", 3, "the layers: their names, parameters and options", cases=[{"layers": n} for n in (3, 1, 0)])
def test_dense_block_parameters(densenet, layers):
    block = densenet.DenseBlock(layers, 5, 2, 0.25, True)
    options = {f"options of {name}": f"{x.drop_rate}, {x.memory_efficient}" for name, x in block.items()}
    return {**parameters(block), **options}


@points("hw5.2", 3, "the block's input, as it stands in the output", cases=block_case)
def test_dense_block_passes_its_input_on(densenet, x, layers, seed):
    output = dense_block(densenet, x, layers, seed).eval()(tensor(x))
    return {"shape of the output": output.shape, "first channels of the output": output[:, : x.shape[1]]}


@points("hw5.2", 4, "the outputs of the layers", cases=block_case)
def test_dense_block_output(densenet, x, layers, seed):
    block = dense_block(densenet, x, layers, seed).eval()
    block(tensor(1 + x))  # nothing of it is left in what comes next
    output = block(tensor(x))
    starts = [x.shape[1] + 2 * i for i in range(layers)]
    return {f"channels of layer {i}": output[:, start : start + 2] for i, start in enumerate(starts, 1)}


@points("hw5.2", 3, "the gradients at input and parameters", cases=block_case, count=3)
def test_dense_block_gradients(densenet, x, layers, seed):
    block = dense_block(densenet, x, layers, seed).eval()
    x = tensor(x, requires_grad=True)
    return gradients(block(x), {"x": x, **dict(block.named_parameters())}, seed)


@points("hw5.2", 1, "the dropout of its layers (with probability 1)", cases=block_case, count=2)
def test_dense_block_dropout(densenet, x, layers, seed):
    return {"output": dense_block(densenet, x, layers, seed, drop_rate=1.0).train()(tensor(x))}


# ---- hw5.3 the transition ------------------------------------------------------------------------------------------


def transition_case(draw: Draw) -> dict:
    """Also as many channels out as in; even and odd sides."""
    channels, kept = [(4, 4), (4, 2), (5, 2), (3, 3)][draw.index % 4]
    x = draw.normal(draw.size(1, 3), channels, draw.integer(4, 6), draw.integer(5, 7))
    return {"x": x, "kept": kept, "seed": draw.seed()}


@points("hw5.3", 1, "the names and shapes of the parameters", cases=[{"channels": 6, "kept": 4}])
def test_transition_parameters(densenet, channels, kept):
    return parameters(densenet.Transition(channels, kept))


@points("hw5.3", 4, "the output", cases=transition_case)
def test_transition_output(densenet, x, kept, seed):
    return {"output": fill(densenet.Transition(x.shape[1], kept), seed).eval()(tensor(x))}


@points("hw5.3", 2, "the gradients at input and parameters, in training", cases=transition_case, count=4)
def test_transition_gradients(densenet, x, kept, seed):
    transition = fill(densenet.Transition(x.shape[1], kept), seed)
    x = tensor(x, requires_grad=True)
    return gradients(transition(x), {"x": x, **dict(transition.named_parameters())}, seed)


@points("hw5.3", 3, "the number of channels that are kept", cases=[{"channels": c} for c in (256, 7, 512, 1, 1023)])
def test_compression(densenet, channels):
    return {"channels": densenet.compressed(channels)}


# ---- hw5.4 squeeze and excitation ----------------------------------------------------------------------------------


def attention_case(draw: Draw) -> dict:
    """First one pixel and one image, where several mix-ups make no difference; then more, and large numbers."""
    n, height, width = [(1, 1, 1), (2, 2, 3), (3, 4, 2), (1, 3, 3), (2, 3, 2)][draw.index % 5]
    x = draw.normal(n, draw.integer(3, 6), height, width) * (1 if draw.index < 4 else draw.dtype.type(1e5))
    return {"x": x, "reduced": draw.integer(2, 3), "seed": draw.seed()}


def attention(senet, x, reduced: int, seed: int, activation=F.relu):
    return fill(senet.SqueezeExcitation(x.shape[1], reduced, activation), seed)


@points("hw5.4", 5, "the gates", cases=attention_case)
def test_gates(senet, x, reduced, seed):
    return {"gates": attention(senet, x, reduced, seed).gates(tensor(x))}


@points("hw5.4", 3, "the output", cases=attention_case)
def test_excitation(senet, x, reduced, seed):
    return {"output": attention(senet, x, reduced, seed)(tensor(x))}


@points("hw5.4", 4, "the gradients at input and parameters", cases=attention_case, count=4)
def test_excitation_gradients(senet, x, reduced, seed):
    module = attention(senet, x, reduced, seed)
    x = tensor(x, requires_grad=True)
    return gradients(module(x), {"x": x, **dict(module.named_parameters())}, seed)


@points("hw5.4", 2, "the gates with another activation between the layers", cases=attention_case, count=4)
def test_gates_with_another_activation(senet, x, reduced, seed):
    return {"gates": attention(senet, x, reduced, seed, F.silu).gates(tensor(x))}


# ---- hw5.5 where the gates stand -----------------------------------------------------------------------------------


def residual_case(draw: Draw) -> dict:
    return {"x": draw.normal(draw.size(1, 2), 16, draw.integer(2, 4), draw.integer(3, 5)), "seed": draw.seed()}


def downsample_case(draw: Draw) -> dict:
    """First a downsample that keeps the shape, so that forgetting it raises nothing."""
    stride = [1, 2][draw.index % 2]
    x = draw.normal(draw.size(1, 2), 16, draw.integer(3, 5), draw.integer(4, 6))
    return {"x": x, "stride": stride, "seed": draw.seed()}


def residual_block(block_class, planes: int, seed: int, stride: int | None = None):
    """A block on 16 channels, with the reference's SE in it."""
    downsample = None
    if stride is not None:
        downsample = nn.Sequential(nn.Conv2d(16, 16, 1, stride=stride, bias=False), nn.BatchNorm2d(16))
    block = block_class(16, planes, stride or 1, downsample)
    block.se = SqueezeExcitation(16, 3)
    return fill(block, seed).eval()


@points("hw5.5", 3, "the output of a basic block", cases=residual_case, count=4)
def test_se_basic_block(senet, x, seed):
    return {"output": residual_block(senet.SEBasicBlock, 16, seed)(tensor(x))}


@points("hw5.5", 1, "the output of a basic block with a downsample", cases=downsample_case, count=4)
def test_se_basic_block_with_downsample(senet, x, seed, stride):
    return {"output": residual_block(senet.SEBasicBlock, 16, seed, stride)(tensor(x))}


@points("hw5.5", 3, "the output of a bottleneck", cases=residual_case, count=4)
def test_se_bottleneck(senet, x, seed):
    return {"output": residual_block(senet.SEBottleneck, 4, seed)(tensor(x))}


@points("hw5.5", 1, "the output of a bottleneck with a downsample", cases=downsample_case, count=4)
def test_se_bottleneck_with_downsample(senet, x, seed, stride):
    return {"output": residual_block(senet.SEBottleneck, 4, seed, stride)(tensor(x))}


@points("hw5.5", 4, "the gradients at the input and at the SE block of either", cases=residual_case, count=3)
def test_se_block_gradients(senet, x, seed):
    answers = {}
    for name, block in (("basic block", senet.SEBasicBlock), ("bottleneck", senet.SEBottleneck)):
        block = residual_block(block, 16 // block.expansion, seed)
        leaf = tensor(x, requires_grad=True)
        inputs = {"x": leaf, **{f"se.{key}": value for key, value in block.se.named_parameters()}}
        answers |= gradients(block(leaf), inputs, seed, prefix=f"{name}, gradient at ")
    return answers


# ---- hw5.6 compound scaling ----------------------------------------------------------------------------------------

FACTORS = [{"width": row[0], "depth": row[1]} for row in SCALING.values()] + [{"width": 0.35, "depth": 0.4}]
PHIS = [{"phi": phi} for phi in (1, 0, 0.5, 2, 6, -1)]
# Near a multiple of 8; half-way between two; where the nearest is below 90 %; below 8.
NEAREST = [{"channels": c, "width": w} for c, w in ((32, 1.0), (32, 1.1), (40, 1.2), (112, 1.4), (100, 1.0), (60, 1.0))]
TOO_SMALL = [
    {"channels": c, "width": w}
    for c, w in ((16, 1.1), (11, 1.0), (10, 1.0), (35, 1.0), (9, 1.0), (179, 0.1), (179, 0.05))
]
SMALLEST = [{"channels": c, "width": w} for c, w in ((3, 1.0), (16, 0.1), (1, 2.0))]


@points("hw5.6", 3, "the three factors", cases=PHIS)
def test_compound_factors(efficientnet, phi):
    return dict(zip(("depth", "width", "resolution"), efficientnet.compound_scaling(phi), strict=True))


@points("hw5.6", 3, "channels, rounded to the nearest multiple of 8", cases=NEAREST)
def test_channels_to_the_nearest_multiple(efficientnet, channels, width):
    return {"channels": efficientnet.scale_channels(channels, width)}


@points("hw5.6", 2, "channels, where the nearest multiple of 8 would be below 90 %", cases=TOO_SMALL)
def test_channels_not_below_nine_tenths(efficientnet, channels, width):
    return {"channels": efficientnet.scale_channels(channels, width)}


@points("hw5.6", 1, "channels, at least 8", cases=SMALLEST)
def test_channels_at_least_eight(efficientnet, channels, width):
    return {"channels": efficientnet.scale_channels(channels, width)}


BLOCKS = [
    {"blocks": b, "depth": d} for b, d in ((1, 1.05), (2, 1.2), (3, 1.4), (4, 1.75), (3, 1.0), (2, 1.5), (4, 0.4))
]


@points("hw5.6", 2, "blocks, rounded up", cases=BLOCKS)
def test_blocks(efficientnet, blocks, depth):
    return {"blocks": efficientnet.scale_blocks(blocks, depth)}


@points("hw5.6", 3, "the stages of B0 to B7, and of a smaller network", cases=FACTORS)
def test_stages(efficientnet, width, depth):
    channels, blocks = zip(*efficientnet.scaled_stages(width, depth), strict=True)
    return {"channels": channels, "blocks": blocks}


# ---- hw5.7 and hw5.8 MBConv ----------------------------------------------------------------------------------------

SHAPES = [
    {"in_channels": 8, "out_channels": 8, "stride": 1, "kernel": 3, "expansion": 2},
    {"in_channels": 8, "out_channels": 16, "stride": 1, "kernel": 5, "expansion": 3},
    {"in_channels": 16, "out_channels": 16, "stride": 2, "kernel": 3, "expansion": 1},
    {"in_channels": 16, "out_channels": 8, "stride": 2, "kernel": 5, "expansion": 1},
    {"in_channels": 11, "out_channels": 11, "stride": 1, "kernel": 3, "expansion": 1},
    {"in_channels": 3, "out_channels": 5, "stride": 3, "kernel": 5, "expansion": 6},
    {"in_channels": 8, "out_channels": 8, "stride": 2, "kernel": 3, "expansion": 2},
]


def mbconv_case(draw: Draw) -> dict:
    """With and without expansion, shortcut and stride; channels that 8 does not divide; odd and even sides.

    In the end a single pixel, whose shape a stride does not change.
    """
    shape = SHAPES[draw.index % 7]
    sides = (draw.integer(3, 5), draw.integer(4, 6)) if draw.index < 6 else (1, 1)
    x = draw.normal(draw.size(1, 2), shape["in_channels"], *sides)
    return {"x": x, **shape, "seed": draw.seed()}


def mbconv(efficientnet, seed, in_channels, out_channels, kernel, stride, expansion, drop_probability=0.0):
    norm_layer = partial(nn.BatchNorm2d, eps=0.1, momentum=0.3)
    arguments = (in_channels, out_channels, kernel, stride, expansion, drop_probability, norm_layer)
    return fill(efficientnet.MBConv(*arguments), seed)


@points("hw5.7", 3, "the names and shapes of the parameters", cases=SHAPES)
def test_mbconv_parameters(efficientnet, **shape):
    return parameters(mbconv(efficientnet, 0, **shape))


@points("hw5.7", 4, "what the block's branch computes in evaluation", cases=mbconv_case)
def test_mbconv_branch(efficientnet, x, seed, **shape):
    return {"output": mbconv(efficientnet, seed, **shape).eval().block(tensor(x))}


@points("hw5.7", 3, "what the branch computes in training, and the running statistics after it", cases=mbconv_case)
def test_mbconv_branch_in_training(efficientnet, x, seed, **shape):
    block = mbconv(efficientnet, seed, **shape)
    output = run(block.block, x)
    return {"output": output, **{key: value for key, value in block.named_buffers() if "running" in key}}


@points("hw5.7", 2, "where there is a shortcut, and the drop probability", cases=SHAPES + [{**SHAPES[0], "stride": 2}])
def test_mbconv_shortcut(efficientnet, **shape):
    block = mbconv(efficientnet, 0, **shape, drop_probability=0.125)
    return {"has_shortcut": bool(block.has_shortcut), "drop_probability": block.drop_probability}


def shortcut_case(draw: Draw) -> dict:
    x = draw.normal(draw.size(1, 3), 8, draw.integer(2, 4), draw.integer(3, 5))
    return {"x": x, "seed": draw.seed()}


def probability_case(draw: Draw) -> dict:
    return {**shortcut_case(draw), "probability": [0.2, 0.5, 0.7][draw.index % 3]}


def shortcut_block(efficientnet, seed, drop_probability=0.0, **changed):
    """A block in training mode, with its norms in evaluation mode: only stochastic depth is random."""
    shape = {"in_channels": 8, "out_channels": 8, "kernel": 3, "stride": 1, "expansion": 1, **changed}
    block = mbconv(efficientnet, seed, **shape, drop_probability=drop_probability).train()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return block


@points("hw5.8", 2, "the output in evaluation", cases=mbconv_case, count=7)
def test_mbconv_output(efficientnet, x, seed, **shape):
    return {"output": mbconv(efficientnet, seed, **shape, drop_probability=0.5).eval()(tensor(x))}


@points("hw5.8", 1, "the gradients at input and parameters", cases=mbconv_case, count=4)
def test_mbconv_gradients(efficientnet, x, seed, **shape):
    block = mbconv(efficientnet, seed, **shape)
    x = tensor(x, requires_grad=True)
    return gradients(block(x), {"x": x, **dict(block.named_parameters())}, seed)


@points(
    "hw5.8",
    2,
    "the output in training, where every branch is left out, and where none may be",
    cases=shortcut_case,
    count=3,
)
def test_mbconv_without_its_branch(efficientnet, x, seed):
    return {
        "output with probability 1": shortcut_block(efficientnet, seed, 1.0)(tensor(x)),
        "output with probability 1, without shortcut": shortcut_block(efficientnet, seed, 1.0, stride=2)(tensor(x)),
        "output with probability 0": shortcut_block(efficientnet, seed)(tensor(x)),
    }


@points("hw5.8", 3, "stochastic depth: which branches stay, and how they are scaled", cases=probability_case, count=3)
def test_mbconv_stochastic_depth(efficientnet, x, seed, probability):
    """On 200 copies of an image; what a copy's branch gives is compared with what it gives in evaluation."""
    image = tensor(np.repeat(x[:1], 200, axis=0))
    block = shortcut_block(efficientnet, seed, probability)
    added = (block(image) - image).detach().numpy().reshape(200, -1)
    branch = (block.eval()(image) - image).detach().numpy().reshape(200, -1)
    factors = (added * branch).sum(1) / (branch * branch).sum(1)
    stays = factors > 0.01
    return {
        "every image has its whole branch or none": bool(np.allclose(added, factors[:, None] * branch, atol=1e-3)),
        f"about {1 - probability:.0%} of the branches stay": bool(abs(stays.mean() - 1 + probability) < 0.15),
        "factor of what stays": factors[stays].mean() if stays.any() else 0.0,
        "factor of what goes": factors[~stays].mean() if not stays.all() else 0.0,
    }
