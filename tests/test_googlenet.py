"""Homework 3: GoogLeNet. `pytest tests/test_googlenet.py` grades assignments/hw3_googlenet."""

import numpy as np

import minicnn
from minicnn import nn
from minicnn.course.checks import Draw, points
from minicnn.course.drivers import dropping, fill, gradients, parameters, raises, run, tensor
from minicnn.models.googlenet import FILTERS

# ---- hw3.1 concatenation -------------------------------------------------------------------------------------------


def channels_case(draw: Draw) -> dict:
    """Two or three stacks of maps, of different depths."""
    n, height, width = draw.size(1, 3), draw.integer(2, 4), draw.integer(3, 5)
    depths = [(2, 3), (1, 4, 2), (3, 1, 2)][draw.index % 3]
    return {
        **{name: draw.normal(n, depth, height, width) for name, depth in zip("abc", depths, strict=False)},
        "axis": 1,
    }


def axes_case(draw: Draw) -> dict:
    """Any axis, from vectors to images; equal and unequal lengths, none at all, one tensor and many."""
    ndim, axis = [(1, 0), (2, 0), (3, 2), (4, 3), (4, 0), (4, 2)][draw.index % 6]
    lengths = [(2, 2), (3, 1, 4), (2, 0, 3), (3,), (1, 2, 1, 2, 1)][draw.index % 5]
    shapes = [tuple(length if d == axis else d + 2 for d in range(ndim)) for length in lengths]
    return {**{name: draw.normal(*shape) for name, shape in zip("abcde", shapes, strict=False)}, "axis": axis}


def joined(joining, arrays: dict, axis: int):
    leaves = {name: tensor(array, requires_grad=True) for name, array in arrays.items()}
    return leaves, joining.Cat.apply(*leaves.values(), axis=axis)


@points("hw3.1", 4, "maps joined along their channels", cases=channels_case)
def test_concatenated_channels(joining, axis, **arrays):
    return {"output": joined(joining, arrays, axis)[1]}


@points("hw3.1", 3, "tensors joined along any axis", cases=axes_case)
def test_concatenation_along_any_axis(joining, axis, **arrays):
    return {"output": joined(joining, arrays, axis)[1]}


@points("hw3.1", 4, "the gradients of maps joined along their channels", cases=channels_case)
def test_gradients_of_concatenated_channels(joining, axis, **arrays):
    leaves, output = joined(joining, arrays, axis)
    return gradients(output, leaves, seed=3)


@points("hw3.1", 3, "the gradients along any axis, after another concatenation", cases=axes_case)
def test_gradients_along_any_axis(joining, axis, **arrays):
    leaves, output = joined(joining, arrays, axis)
    joined(joining, dict(reversed(arrays.items())), axis)  # what is kept for backward is each one's own
    return gradients(output, leaves, seed=4)


# ---- hw3.2 the 1x1 convolution -------------------------------------------------------------------------------------


def pointwise_case(draw: Draw) -> dict:
    """More channels in than out, or fewer."""
    channels, kernels = [(3, 2), (2, 5), (4, 1), (1, 3)][draw.index % 4]
    return pixels_case(draw, channels, kernels)


def square_case(draw: Draw) -> dict:
    """As many channels out as in, on maps whose sides are as many again: no shape gives a mix-up away."""
    size = draw.integer(2, 4)
    return {"x": draw.normal(draw.size(1, 2), size, size, size), "weight": draw.normal(size, size, 1, 1)}


def pixels_case(draw: Draw, channels: int, kernels: int) -> dict:
    x = draw.normal(draw.size(1, 3), channels, draw.integer(2, 4), draw.integer(3, 5))
    return {"x": x, "weight": draw.normal(kernels, channels, 1, 1)}


def biased_case(draw: Draw) -> dict:
    """The bias is as long as the maps are wide, so that adding it to the wrong axis raises nothing."""
    kernels = 1 + draw.index % 4
    x = draw.normal(draw.size(1, 3), 3, draw.integer(2, 4), kernels)
    return {"x": x, "weight": draw.normal(kernels, 3, 1, 1), "bias": draw.normal(kernels)}


@points("hw3.2", 3, "the output, where the number of channels changes", cases=pointwise_case)
def test_pointwise_output(conv, x, weight):
    return {"output": run(conv.pointwise_conv2d, x, weight)}


@points("hw3.2", 2, "the output, where the number of channels stays", cases=square_case)
def test_pointwise_output_of_equal_channels(conv, x, weight):
    return {"output": run(conv.pointwise_conv2d, x, weight)}


@points("hw3.2", 2, "the output with a bias", cases=biased_case)
def test_pointwise_bias(conv, x, weight, bias):
    return {"output": run(conv.pointwise_conv2d, x, weight, bias)}


@points("hw3.2", 4, "the gradients at input, weight and bias", cases=biased_case)
def test_pointwise_gradients(conv, **arrays):
    leaves = {name: tensor(array, requires_grad=True) for name, array in arrays.items()}
    return gradients(conv.pointwise_conv2d(*leaves.values()), leaves, seed=5)


REFUSED = [
    {"image": (2, 3, 4, 5), "kernels": (4, 3, 3, 3)},
    {"image": (1, 3, 4, 5), "kernels": (4, 2, 1, 1)},
    {"image": (1, 2, 3, 3), "kernels": (2, 2, 1, 2)},
    {"image": (1, 3, 4, 5), "kernels": (4, 1, 1, 1)},
    {"image": (1, 3, 4, 5), "kernels": (4, 3)},
    {"image": (1, 3, 4, 5), "kernels": (4, 3, 1, 1, 1)},
]


@points("hw3.2", 1, "the error for a weight that is not (K, C, 1, 1)", cases=REFUSED)
def test_pointwise_refuses_other_weights(conv, image, kernels):
    return {"raises": raises(conv.pointwise_conv2d, minicnn.ones(*image), minicnn.ones(*kernels))}


# ---- hw3.3 and hw3.4 the two modules -------------------------------------------------------------------------------


def naive_case(draw: Draw) -> dict:
    """Branches of different widths."""
    x = draw.normal(draw.size(1, 3), 3, draw.size(2, 6), draw.size(3, 7))
    return {"x": x, "widths": (draw.integer(1, 2), draw.integer(3, 4), 2), "seed": draw.seed()}


def equal_naive_case(draw: Draw) -> dict:
    """As many channels from every branch as in the input: any axis can be joined, and branches can be added."""
    x = draw.normal(draw.size(1, 2), 2, draw.size(2, 5), draw.size(3, 6))
    return {"x": x, "widths": (2, 2, 2), "seed": draw.seed()}


def in_pieces(output, widths) -> dict:
    """The output's shape, and what it holds of each branch, where it has the channels."""
    answers, start = {"shape of the output": output.shape}, 0
    for name, width in zip(("1x1 branch", "3x3 branch", "5x5 branch", "pooling branch"), widths, strict=True):
        answers[name] = output[:, start : start + width]
        start += width
    return answers


VARIANTS = [{"variant": variant, "widths": (4, 2, 5)} for variant in ("paper", "torchvision")]


@points("hw3.3", 2, "the names and shapes of the parameters", cases=VARIANTS)
def test_naive_parameters(googlenet, widths, variant):
    return parameters(googlenet.NaiveInception(3, *widths, variant=variant))


@points("hw3.3", 3, "the output, where every branch has as many channels as the input", cases=equal_naive_case, count=4)
def test_naive_output_of_equal_branches(googlenet, x, widths, seed):
    module = fill(googlenet.NaiveInception(2, *widths), seed)
    return in_pieces(module(tensor(x)), (*widths, 2))


@points("hw3.3", 3, "the output of branches of different widths", cases=naive_case)
def test_naive_output(googlenet, x, widths, seed):
    module = fill(googlenet.NaiveInception(3, *widths), seed)
    return in_pieces(module(tensor(x)), (*widths, 3))


@points("hw3.3", 4, "the gradients at input and parameters", cases=naive_case, count=4)
def test_naive_gradients(googlenet, x, widths, seed):
    module = fill(googlenet.NaiveInception(3, *widths), seed)
    x = tensor(x, requires_grad=True)
    return gradients(module(x), {"x": x, **dict(module.named_parameters())}, seed)


@points("hw3.3", 2, "the output of torchvision's variant, with batch norm", cases=naive_case, count=4)
def test_naive_torchvision_variant(googlenet, x, widths, seed):
    module = fill(googlenet.NaiveInception(3, *widths, variant="torchvision"), seed)
    return {**in_pieces(module(tensor(x)), (*widths, 3)), "in evaluation": module.eval()(tensor(x))}


def reduced_case(draw: Draw) -> dict:
    """1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj: all different."""
    x = draw.normal(draw.size(1, 3), 6, draw.size(2, 6), draw.size(3, 7))
    filters = (draw.choice([1, 7]), 3, draw.choice([4, 8]), 2, 5, draw.choice([1, 3]))
    return {"x": x, "filters": filters, "seed": draw.seed()}


def equal_reduced_case(draw: Draw) -> dict:
    """As many channels everywhere as in the input: branches can be chained, and joined along any axis."""
    x = draw.normal(draw.size(1, 2), 3, draw.size(2, 5), draw.size(3, 6))
    return {"x": x, "filters": (3,) * 6, "seed": draw.seed()}


@points("hw3.4", 3, "the names and shapes of the parameters", cases=[{"variant": v["variant"]} for v in VARIANTS])
def test_inception_parameters(googlenet, variant):
    return parameters(googlenet.Inception(7, 6, 3, 5, 2, 4, 1, variant=variant))


@points("hw3.4", 3, "the output, where no layer changes the number of channels", cases=equal_reduced_case, count=4)
def test_inception_output_of_equal_layers(googlenet, x, filters, seed):
    module = fill(googlenet.Inception(3, *filters), seed)
    return in_pieces(module(tensor(x)), (3, 3, 3, 3))


@points("hw3.4", 5, "the output of the paper's module", cases=reduced_case)
def test_inception_output(googlenet, x, filters, seed):
    module = fill(googlenet.Inception(6, *filters), seed)
    return in_pieces(module(tensor(x)), (filters[0], filters[2], filters[4], filters[5]))


@points("hw3.4", 4, "the gradients at input and parameters", cases=reduced_case, count=4)
def test_inception_gradients(googlenet, x, filters, seed):
    module = fill(googlenet.Inception(6, *filters), seed)
    x = tensor(x, requires_grad=True)
    return gradients(module(x), {"x": x, **dict(module.named_parameters())}, seed)


@points("hw3.4", 3, "the output of torchvision's variant", cases=reduced_case, count=4)
def test_inception_torchvision_variant(googlenet, x, filters, seed):
    module = fill(googlenet.Inception(6, *filters, variant="torchvision"), seed)
    pieces = in_pieces(module(tensor(x)), (filters[0], filters[2], filters[4], filters[5]))
    return {**pieces, "in evaluation": module.eval()(tensor(x))}


# ---- hw3.5 multiply-adds -------------------------------------------------------------------------------------------


def same_size_case(draw: Draw) -> dict:
    """Convolutions that keep the size: 1x1, 3x3, 5x5."""
    kernel_size = [1, 3, 5][draw.index % 3]
    shape = (draw.integer(1, 9), draw.integer(5, 30), draw.integer(5, 30))
    options = {"padding": kernel_size // 2}
    return {"shape": shape, "out_channels": draw.integer(1, 9), "kernel_size": kernel_size, "options": options}


def strided_case(draw: Draw) -> dict:
    """Strides that do not divide, dilation, no padding or much of it."""
    options = [
        {"stride": 2},
        {"stride": 2, "padding": 3},
        {"dilation": 2, "padding": 1},
        {"stride": 3, "padding": 2, "dilation": 3},
    ][draw.index % 4]
    shape = (draw.integer(1, 9), draw.integer(8, 30), draw.integer(8, 30))
    if draw.index == 5:  # a sum that no float64 and no 32 bit integer holds
        shape, options = (40_961, 700_001, 500_003), {"stride": 1, "padding": 2}
    kernel_size = 2 + draw.index % 2
    return {"shape": shape, "out_channels": draw.integer(2, 9), "kernel_size": kernel_size, "options": options}


def grouped_case(draw: Draw) -> dict:
    """Grouped convolutions, the last depthwise."""
    groups, channels, kernels = [(2, 4, 6), (3, 6, 3), (4, 4, 8), (5, 5, 5)][draw.index % 4]
    shape = (channels, draw.integer(4, 9), draw.integer(4, 9))
    return {"shape": shape, "out_channels": kernels, "kernel_size": 3, "options": {"groups": groups, "padding": 1}}


def module_case(draw: Draw) -> dict:
    """A module of Table 1 on the image that it gets there, and on one smaller than its kernels."""
    names = ["inception3a", "inception4a", "inception4d", "inception5b"]
    sides = {"3": 28, "4": 14, "5": 7}
    name = names[draw.index % len(names)]
    channels = {"inception3a": 192, "inception4a": 480, "inception4d": 512, "inception5b": 832}[name]
    side = sides[name[-2]]
    image = (side, side) if draw.index < len(names) else (draw.integer(1, 3), draw.integer(4, 9))
    return {"shape": (channels, *image), "filters": FILTERS[name]}


def counted(inception_cost, shape, out_channels, kernel_size, options):
    return {"multiply-adds": inception_cost.conv_multiply_adds(shape, out_channels, kernel_size, **options)}


@points("hw3.5", 2, "a convolution that keeps the image's size", cases=same_size_case)
def test_cost_of_a_convolution(inception_cost, shape, out_channels, kernel_size, options):
    return counted(inception_cost, shape, out_channels, kernel_size, options)


@points("hw3.5", 3, "a convolution with stride, padding or dilation", cases=strided_case)
def test_cost_of_a_strided_convolution(inception_cost, shape, out_channels, kernel_size, options):
    return counted(inception_cost, shape, out_channels, kernel_size, options)


@points("hw3.5", 2, "a grouped convolution", cases=grouped_case)
def test_cost_of_a_grouped_convolution(inception_cost, shape, out_channels, kernel_size, options):
    return counted(inception_cost, shape, out_channels, kernel_size, options)


@points("hw3.5", 2, "the naive module", cases=module_case)
def test_cost_of_the_naive_module(inception_cost, shape, filters):
    ch1x1, _, ch3x3, _, ch5x5, _ = filters
    return {"multiply-adds": inception_cost.naive_multiply_adds(shape, ch1x1, ch3x3, ch5x5)}


@points("hw3.5", 3, "the module with reductions", cases=module_case, count=8)
def test_cost_of_the_reduced_module(inception_cost, shape, filters):
    return {"multiply-adds": inception_cost.inception_multiply_adds(shape, *filters)}


# ---- hw3.6 the auxiliary classifier --------------------------------------------------------------------------------


def auxiliary_case(draw: Draw) -> dict:
    """Maps on which the paper's 5x5 pooling with stride 3 leaves 4 x 4."""
    sides = [(14, 14), (16, 15), (15, 14), (14, 16)][draw.index % 4]
    return {"x": draw.normal(draw.size(1, 3), 5, *sides), "seed": draw.seed()}


def other_map_case(draw: Draw) -> dict:
    """Maps from smaller and larger images."""
    sides = [(4, 4), (2, 3), (7, 9), (17, 14), (16, 17), (15, 13)][draw.index % 6]
    return {"x": draw.normal(draw.size(1, 3), 5, *sides), "seed": draw.seed()}


def classifier(googlenet, seed, dropout=0.0, variant="paper", training=False):
    """An auxiliary classifier with narrow linear layers, to be quick."""
    with nn.init.skip():
        module = googlenet.InceptionAux(5, 3, dropout, variant)
    module.fc1, module.fc2 = nn.Linear(2048, 6), nn.Linear(6, 3)
    return fill(module, seed).train(training)


@points("hw3.6", 4, "the logits of maps of 14 to 16 pixels", cases=auxiliary_case, count=4)
def test_auxiliary_logits(googlenet, x, seed):
    return {"logits": classifier(googlenet, seed)(tensor(x))}


@points("hw3.6", 2, "the logits of maps of other sizes", cases=other_map_case)
def test_auxiliary_logits_of_other_maps(googlenet, x, seed):
    return {"logits": classifier(googlenet, seed)(tensor(x))}


@points("hw3.6", 1, "the logits of torchvision's variant", cases=auxiliary_case, count=4)
def test_auxiliary_torchvision_variant(googlenet, x, seed):
    return {"logits": classifier(googlenet, seed, variant="torchvision")(tensor(x))}


@points("hw3.6", 2, "the gradients at input and parameters", cases=auxiliary_case, count=2)
def test_auxiliary_gradients(googlenet, x, seed):
    module = classifier(googlenet, seed)
    x = tensor(x, requires_grad=True)
    return gradients(module(x), {"x": x, **dict(module.named_parameters())}, seed)


@points(
    "hw3.6",
    2,
    "dropout in training (with probability 1, fc2 gets zeros; else it gets some of its values)",
    cases=[{"probability": p} for p in (1.0, 0.3, 0.8)],
)
def test_auxiliary_dropout(googlenet, probability):
    x = np.random.default_rng(3).standard_normal((2, 5, 14, 14))
    if probability == 1:
        return {"logits": classifier(googlenet, 5, dropout=1.0, training=True)(tensor(x))}
    module = classifier(googlenet, 5, dropout=probability, training=True)
    module.fc1, module.fc2 = fill(nn.Linear(2048, 400), 6), nn.Identity()
    return {"values for fc2": dropping(module(tensor(x)), module.eval()(tensor(x)), probability)}


@points("hw3.6", 1, "no dropout in evaluation", cases=auxiliary_case, count=2)
def test_auxiliary_dropout_in_evaluation(googlenet, x, seed):
    return {"logits": classifier(googlenet, seed, dropout=1.0)(tensor(x))}


# ---- hw3.7 the loss ------------------------------------------------------------------------------------------------


def logits_case(draw: Draw) -> dict:
    n, classes = draw.size(1, 4), draw.integer(2, 5)
    names = ("logits", "aux_logits2", "aux_logits1")
    return {**{name: draw.normal(n, classes) for name in names}, "target": draw.integers(0, classes - 1, n)}


def other_loss_case(draw: Draw) -> dict:
    """Another weight and another criterion than the paper's, and another number of classifiers."""
    weight, criterion, outputs = [
        (0.0, "mean square", 3),
        (0.5, "first logits", 2),
        (1.0, "first logits", 1),
        (0.1, "mean square", 6),
    ][draw.index % 4]
    case = logits_case(draw)
    target = case.pop("target")
    more = {f"more{i}": draw.normal(*case["logits"].shape) for i in range(3)}
    arrays = dict(list({**case, **more}.items())[:outputs])
    return {**arrays, "target": target, "weight": weight, "criterion": criterion}


CRITERIA = {
    "mean square": lambda logits, target: (logits**2).mean() + 0.1 * target.sum(),
    "first logits": lambda logits, _: logits[:, 0],  # a number for each image, and on the memory of the logits
}


@points("hw3.7", 2, "the loss of a single tensor, as in evaluation", cases=logits_case)
def test_loss_in_evaluation(googlenet, logits, target, **_):
    return {"loss": run(googlenet.auxiliary_loss, logits, target)}


@points("hw3.7", 2, "the loss of three classifiers", cases=logits_case)
def test_loss_in_training(googlenet, logits, aux_logits2, aux_logits1, target):
    outputs = googlenet.GoogLeNetOutputs(tensor(logits), tensor(aux_logits2), tensor(aux_logits1))
    return {"loss": googlenet.auxiliary_loss(outputs, tensor(target))}


@points("hw3.7", 2, "the loss with another criterion, weight and number of classifiers", cases=other_loss_case, count=4)
def test_loss_with_another_criterion(googlenet, target, weight, criterion, **logits):
    outputs = tuple(tensor(array) for array in logits.values())
    return {"loss": googlenet.auxiliary_loss(outputs, tensor(target), CRITERIA[criterion], weight)}


@points("hw3.7", 2, "the loss's gradients at the logits", cases=logits_case, count=4)
def test_loss_gradients(googlenet, target, **logits):
    leaves = {name: tensor(array, requires_grad=True) for name, array in logits.items()}
    return gradients(googlenet.auxiliary_loss(tuple(leaves.values()), tensor(target)), leaves, seed=6)


# ---- hw3.8 the whole network ---------------------------------------------------------------------------------------


def image_case(draw: Draw) -> dict:
    sides = [(31, 42), (66, 73), (34, 37)][draw.index % 3]
    return {"x": draw.distinct(draw.size(1, 2), 3, *sides) / 500, "seed": draw.seed()}


def small_network(googlenet, seed, training, dropout=0.0, **options):
    """GoogLeNet with two channels everywhere: each convolution and each module is an affine map of them.

    Its two norms differ, and are so strong that leaving out or moving one is plain to see.
    """
    with nn.init.skip():
        model = googlenet.GoogLeNet(num_classes=3, dropout=dropout, **options)
    for name, _ in list(model.named_children()):
        if name.startswith(("conv", "inception")):
            setattr(model, name, nn.Conv2d(3 if name == "conv1" else 2, 2, 1, stride=2 if name == "conv1" else 1))
        elif name.startswith("aux"):
            setattr(model, name, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)))
    for norm, alpha in ((model.norm1, 20.0), (model.norm2, 5.0)):
        if norm is not None:
            norm.alpha, norm.k = alpha, 0.5
    model.fc = nn.Linear(2, 3)
    return fill(model, seed).train(training)


def named(outputs):
    """The outputs of a training step by name; a single tensor stays one."""
    if isinstance(outputs, minicnn.Tensor):
        return {"logits": outputs}
    names = ("logits", "auxiliary logits after 4d", "auxiliary logits after 4a")
    kind = type(outputs).__name__
    return {**dict(zip(names, outputs, strict=False)), "number of outputs": len(outputs), "what is returned": kind}


@points("hw3.8", 3, "the logits in evaluation", cases=image_case, count=2)
def test_network_in_evaluation(googlenet, x, seed):
    return named(small_network(googlenet, seed, training=False)(tensor(x)))


@points("hw3.8", 2, "the logits of all three classifiers in training", cases=image_case, count=2)
def test_network_in_training(googlenet, x, seed):
    return named(small_network(googlenet, seed, training=True)(tensor(x)))


OPTIONS = [
    {"training": True, "options": {"aux_logits": False}},
    {"training": False, "options": {"variant": "torchvision"}},
    {"training": False, "options": {"transform_input": True}},
]


def option_case(draw: Draw) -> dict:
    return {**image_case(draw), **OPTIONS[draw.index % 3]}


@points(
    "hw3.8",
    1,
    "the logits without auxiliary classifiers, or norms, or with transform_input",
    cases=option_case,
    count=3,
)
def test_network_options(googlenet, x, seed, training, options):
    return named(small_network(googlenet, seed, training, **options)(tensor(x)))


@points("hw3.8", 2, "the gradients that auxiliary classifiers send down", cases=image_case, count=2)
def test_network_gradients(googlenet, x, seed):
    model = small_network(googlenet, seed, training=True)
    x = tensor(x, requires_grad=True)
    below = {name: value for name, value in model.named_parameters() if name.endswith(("4a.weight", "4d.weight"))}
    return gradients(model(x), {"x": x, **below}, seed)


@points(
    "hw3.8",
    1,
    "dropout in training (with probability 1, fc gets zeros)",
    cases=image_case,
    count=1,
)
def test_network_dropout(googlenet, x, seed):
    return named(small_network(googlenet, seed, training=True, dropout=1.0)(tensor(x)))


SIDES = [
    {"variant": variant, "shape": (1, 3, *sides)}
    for variant, smallest in (("paper", 31), ("torchvision", 15))
    for sides in ((smallest - 1, 40), (40, smallest - 1), (smallest, smallest))
]


@points("hw3.8", 1, "the error for images that are too small", cases=SIDES)
def test_network_refuses_small_images(googlenet, variant, shape):
    model = small_network(googlenet, 1, training=False, variant=variant)
    return {"raises": raises(model, minicnn.ones(*shape, dtype=model.fc.weight.dtype))}
