"""Homework 2: convolution, pooling, batch norm. `pytest tests/test_convolution.py` grades hw2_convolution."""

import numpy as np

from minicnn.backend.base import Window
from minicnn.course.checks import Draw, points
from minicnn.course.drivers import raises
from minicnn.ops.geometry import pooling_output_size

# ---- windows -------------------------------------------------------------------------------------------------------

# kernel, stride, dilation: (along height, along width); padding: (above, below, left, right)
PLAIN = {"kernel": (2, 3), "stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
POINT = {**PLAIN, "kernel": (1, 1)}
POINT_STRIDED = {**POINT, "stride": (2, 3)}  # as in ResNet's shortcuts
STRIDED = [
    {**PLAIN, "stride": (2, 1)},
    {**PLAIN, "kernel": (3, 2), "stride": (1, 3)},
    {**PLAIN, "kernel": (2, 1), "stride": (3, 2)},  # leaves pixels out that no window sees
]
DILATED = [
    {**PLAIN, "dilation": (2, 1)},
    {**PLAIN, "kernel": (3, 2), "dilation": (1, 3)},
    {**PLAIN, "kernel": (2, 2), "dilation": (3, 2), "stride": (1, 2)},
]
PADDED = [
    {**PLAIN, "padding": (1, 1, 0, 0)},
    {**PLAIN, "padding": (0, 0, 2, 2)},
    {**PLAIN, "kernel": (3, 2), "padding": (1, 0, 0, 2), "stride": (2, 2)},
]
# all that an axis has is its own here
EVERYTHING = {"kernel": (3, 2), "stride": (2, 3), "padding": (1, 2, 0, 3), "dilation": (2, 3)}
GEOMETRIES = [*STRIDED, *DILATED, *PADDED, POINT_STRIDED, EVERYTHING]
GROUPS = [(1, 2, 4), (2, 4, 6), (2, 6, 4), (3, 3, 3), (3, 3, 6)]  # groups, channels, filters; depthwise at the end


def window(kernel, stride, padding, dilation) -> Window:
    above, below, left, right = padding
    return Window(kernel, stride, ((above, below), (left, right)), dilation)


def twice(name: str, function, x, *rest) -> dict:
    """The answers for x and for -x: a later call neither changes what came of the first nor gets it again."""
    return {name: function(x, *rest), f"{name}, in a later call": function(-x, *rest)}


def some(draw: Draw) -> int:
    """How many images or channels: one in the first case, and then enough to be mixed up."""
    return 1 if draw.index == 0 else draw.integer(2, 3)


def image_case(draw: Draw, geometry: dict) -> dict:
    """Images on which the window has a place; the stride need not divide."""
    return {"x": draw.normal(some(draw), some(draw), draw.integer(5, 7), draw.integer(6, 9)), **geometry}


def plain_images(draw: Draw) -> dict:
    """The last ones are integers."""
    case = image_case(draw, POINT if draw.index == 0 else PLAIN)
    return case if draw.index < 3 else {**case, "x": draw.integers(-9, 9, *case["x"].shape)}


def padded_images(draw: Draw) -> dict:
    return image_case(draw, [*PADDED, EVERYTHING][draw.index])


# ---- hw2.1: taps ---------------------------------------------------------------------------------------------------


def seen_by_taps(conv, kernel, stride, dilation, out_size):
    """The pixels that each tap sees, as numbers of an image that is large enough."""
    height, width = (dilation[i] * (kernel[i] - 1) + stride[i] * (out_size[i] - 1) + 3 for i in (0, 1))
    pixels = np.arange(height * width).reshape(height, width)
    found = list(conv.taps(window(kernel, stride, (1, 2, 3, 1), dilation), out_size))
    return {
        "taps": np.array([(i, j) for i, j, _ in found]),
        "pixels seen": [pixels[rows, columns] for _, _, (rows, columns) in found],
    }


def tap_case(draw: Draw, geometry: dict) -> dict:
    chosen = {name: geometry[name] for name in ("kernel", "stride", "dilation")}
    return {**chosen, "out_size": (draw.integer(2, 4), draw.integer(3, 5))}


@points("hw2.1", 2, "the taps and what they see, stride 1", cases=lambda draw: tap_case(draw, PLAIN), count=2)
def test_taps(conv, kernel, stride, dilation, out_size):
    return seen_by_taps(conv, kernel, stride, dilation, out_size)


@points("hw2.1", 2, "what they see with a stride", cases=lambda draw: tap_case(draw, STRIDED[draw.index]), count=3)
def test_taps_stride(conv, kernel, stride, dilation, out_size):
    return seen_by_taps(conv, kernel, stride, dilation, out_size)


@points("hw2.1", 2, "what they see with a dilation", count=4,
        cases=lambda draw: tap_case(draw, [*DILATED, EVERYTHING][draw.index]))  # fmt: skip
def test_taps_dilation(conv, kernel, stride, dilation, out_size):
    return seen_by_taps(conv, kernel, stride, dilation, out_size)


# ---- hw2.2: im2col -------------------------------------------------------------------------------------------------


@points("hw2.2", 4, "the columns of plain windows, rows and columns in order", cases=plain_images, count=4)
def test_im2col(conv, x, kernel, stride, padding, dilation):
    return twice("columns", conv.im2col, x, window(kernel, stride, padding, dilation))


@points("hw2.2", 3, "the columns with stride and dilation", count=7,
        cases=lambda draw: image_case(draw, [*STRIDED, *DILATED, POINT_STRIDED][draw.index]))  # fmt: skip
def test_im2col_stride_and_dilation(conv, x, kernel, stride, padding, dilation):
    return {"columns": conv.im2col(x, window(kernel, stride, padding, dilation))}


@points("hw2.2", 3, "the columns with padding, each side its own", cases=padded_images, count=4)
def test_im2col_padding(conv, x, kernel, stride, padding, dilation):
    return {"columns": conv.im2col(x, window(kernel, stride, padding, dilation))}


# ---- hw2.3: col2im -------------------------------------------------------------------------------------------------


def column_case(draw: Draw, geometry: dict) -> dict:
    """Columns for images on which the window has a place."""
    n, c, h, w = some(draw), some(draw), draw.integer(5, 7), draw.integer(6, 9)
    out_h, out_w = window(**geometry).output_size((h, w))
    rows = c * geometry["kernel"][0] * geometry["kernel"][1]
    return {"columns": draw.normal(rows, n * out_h * out_w), "x_shape": (n, c, h, w), **geometry}


def apart(draw: Draw) -> dict:
    return column_case(draw, {**PLAIN, "stride": PLAIN["kernel"]})


def overlapping(draw: Draw) -> dict:
    """The last ones are integers."""
    case = column_case(draw, PLAIN)
    return case if draw.index < 2 else {**case, "columns": draw.integers(-9, 9, *case["columns"].shape)}


def spread(draw: Draw) -> dict:
    return column_case(draw, [*STRIDED, *DILATED, POINT_STRIDED][draw.index])


def padded_columns(draw: Draw) -> dict:
    return column_case(draw, [*PADDED, EVERYTHING][draw.index])


@points("hw2.3", 3, "the image, where windows do not overlap", cases=apart, count=3)
def test_col2im(conv, columns, x_shape, kernel, stride, padding, dilation):
    return twice("image", conv.col2im, columns, x_shape, window(kernel, stride, padding, dilation))


@points("hw2.3", 3, "the sum over windows that overlap", cases=overlapping, count=3)
def test_col2im_overlap(conv, columns, x_shape, kernel, stride, padding, dilation):
    return {"image": conv.col2im(columns, x_shape, window(kernel, stride, padding, dilation))}


@points("hw2.3", 3, "the image with stride and dilation, some pixels unseen", cases=spread, count=7)
def test_col2im_stride_and_dilation(conv, columns, x_shape, kernel, stride, padding, dilation):
    return {"image": conv.col2im(columns, x_shape, window(kernel, stride, padding, dilation))}


@points("hw2.3", 3, "the image without its padding", cases=padded_columns, count=4)
def test_col2im_padding(conv, columns, x_shape, kernel, stride, padding, dilation):
    return {"image": conv.col2im(columns, x_shape, window(kernel, stride, padding, dilation))}


# ---- hw2.4 to hw2.6: convolution and its gradients -----------------------------------------------------------------


def conv_case(draw: Draw, geometry: dict, groups: int, channels: int, filters: int) -> dict:
    n, h, w = some(draw), draw.integer(5, 7), draw.integer(6, 9)
    return {
        "x": draw.normal(n, channels, h, w),
        "weight": draw.normal(filters, channels // groups, *geometry["kernel"]),
        "dy": draw.normal(n, filters, *window(**geometry).output_size((h, w))),
        **geometry,
        "groups": groups,
    }


def plain_convolutions(draw: Draw) -> dict:
    return conv_case(draw, POINT if draw.index == 0 else PLAIN, 1, some(draw), draw.size(1, 5))


def any_convolutions(draw: Draw) -> dict:
    return conv_case(draw, GEOMETRIES[draw.index], 1, draw.integer(1, 3), draw.integer(2, 4))


def grouped_convolutions(draw: Draw) -> dict:
    return conv_case(draw, [PLAIN, PADDED[2], DILATED[0], STRIDED[0], EVERYTHING][draw.index], *GROUPS[draw.index])


def forward(conv, x, weight, kernel, stride, padding, dilation, groups):
    return twice("output", conv.conv2d, x, weight, window(kernel, stride, padding, dilation), groups)


def input_gradient(conv, x, weight, dy, kernel, stride, padding, dilation, groups):
    sliding = window(kernel, stride, padding, dilation)
    return twice("gradient at x", conv.conv2d_input_grad, dy, weight, x.shape, sliding, groups)


def weight_gradient(conv, x, weight, dy, kernel, stride, padding, dilation, groups):
    sliding = window(kernel, stride, padding, dilation)
    return twice("gradient at weight", conv.conv2d_weight_grad, dy, x, weight.shape, sliding, groups)


@points("hw2.4", 4, "the output of a plain convolution", cases=plain_convolutions, count=5)
def test_conv2d(conv, x, weight, dy, kernel, stride, padding, dilation, groups):
    return forward(conv, x, weight, kernel, stride, padding, dilation, groups)


@points("hw2.4", 4, "the output with stride, dilation and padding", cases=any_convolutions, count=11)
def test_conv2d_geometry(conv, x, weight, dy, kernel, stride, padding, dilation, groups):
    return forward(conv, x, weight, kernel, stride, padding, dilation, groups)


@points("hw2.4", 4, "the output with groups", cases=grouped_convolutions, count=5)
def test_conv2d_groups(conv, x, weight, dy, kernel, stride, padding, dilation, groups):
    return forward(conv, x, weight, kernel, stride, padding, dilation, groups)


@points("hw2.5", 3, "the gradient at x of a plain convolution", cases=plain_convolutions, count=5)
def test_conv2d_input_grad(conv, x, weight, dy, kernel, stride, padding, dilation, groups):
    return input_gradient(conv, x, weight, dy, kernel, stride, padding, dilation, groups)


@points("hw2.5", 3, "the gradient at x with stride, dilation and padding", cases=any_convolutions, count=11)
def test_conv2d_input_grad_geometry(conv, x, weight, dy, kernel, stride, padding, dilation, groups):
    return input_gradient(conv, x, weight, dy, kernel, stride, padding, dilation, groups)


@points("hw2.5", 2, "the gradient at x with groups", cases=grouped_convolutions, count=5)
def test_conv2d_input_grad_groups(conv, x, weight, dy, kernel, stride, padding, dilation, groups):
    return input_gradient(conv, x, weight, dy, kernel, stride, padding, dilation, groups)


@points("hw2.6", 3, "the gradient at weight of a plain convolution", cases=plain_convolutions, count=5)
def test_conv2d_weight_grad(conv, x, weight, dy, kernel, stride, padding, dilation, groups):
    return weight_gradient(conv, x, weight, dy, kernel, stride, padding, dilation, groups)


@points("hw2.6", 3, "the gradient at weight with stride, dilation and padding", cases=any_convolutions, count=11)
def test_conv2d_weight_grad_geometry(conv, x, weight, dy, kernel, stride, padding, dilation, groups):
    return weight_gradient(conv, x, weight, dy, kernel, stride, padding, dilation, groups)


@points("hw2.6", 2, "the gradient at weight with groups", cases=grouped_convolutions, count=5)
def test_conv2d_weight_grad_groups(conv, x, weight, dy, kernel, stride, padding, dilation, groups):
    return weight_gradient(conv, x, weight, dy, kernel, stride, padding, dilation, groups)


# ---- hw2.7 and hw2.8: max pooling ----------------------------------------------------------------------------------


def pool_case(draw: Draw, x: np.ndarray, geometry: dict, ceil_mode: bool = False) -> dict:
    out_size = pooling_output_size(window(**geometry), x.shape[2:], ceil_mode)
    return {"x": x, **geometry, "out_size": out_size}


def pooled_images(draw: Draw) -> dict:
    geometry = [{**PLAIN, "stride": (2, 3)}, PLAIN, {**PLAIN, "kernel": (3, 3), "stride": (2, 2)}][draw.index % 3]
    return pool_case(draw, draw.distinct(some(draw), some(draw), 5, draw.integer(6, 8)), geometry)


def negative_images(draw: Draw) -> dict:
    """In the last two cases so large that no sentinel but minus infinity is below them."""
    geometry = [{"padding": (1, 1, 1, 1)}, {"padding": (1, 1, 0, 0)}, {"padding": (0, 0, 1, 1)}][draw.index % 3]
    x = draw.distinct(some(draw), some(draw), 5, 6)
    x = (x - x.max() - 1) * x.dtype.type(1 if draw.index < 2 else 1e30)
    return pool_case(draw, x, {**PLAIN, "kernel": (3, 3), "stride": (2, 1), **geometry})


def images_with_ties(draw: Draw) -> dict:
    """The last ones are minus infinity nearly everywhere, and infinity here and there."""
    x = draw.integers(-1, 1, some(draw), some(draw), 5, 6).astype(draw.dtype)
    if draw.index >= 2:
        chance = draw.uniform(0, 1, *x.shape)
        x[chance < 0.8] = -np.inf
        x[chance > 0.9] = np.inf
    padded = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1, 1, 0)}
    return pool_case(draw, x, {**PLAIN, **[{}, {"stride": (2, 2)}, padded, padded][draw.index]})


# The windows of the last two hang over the lower and right edge.
HARD_WINDOWS = [
    {"dilation": (3, 2), "stride": (1, 2)},
    {"kernel": (3, 2), "dilation": (2, 3), "padding": (1, 1, 1, 1), "stride": (1, 2)},
    {"kernel": (3, 2), "stride": (2, 2)},
    {"kernel": (3, 2), "dilation": (2, 3), "padding": (2, 1, 1, 0), "stride": (3, 2)},
]


def hard_windows(draw: Draw) -> dict:
    x = draw.distinct(some(draw), some(draw), 6, 7)
    return pool_case(draw, x, {**PLAIN, **HARD_WINDOWS[draw.index]}, ceil_mode=draw.index >= 2)


def images_with_nan(draw: Draw) -> dict:
    """One NaN in each image and channel: of several it is not said which one wins."""
    case = pooled_images(draw)
    for plane in case["x"].reshape(-1, *case["x"].shape[2:]):
        plane[draw.integer(0, 3), draw.integer(0, 3)] = np.nan
    return case


def pooled(pooling, x, kernel, stride, padding, dilation, out_size):
    maxima, positions = pooling.max_pool2d(x, window(kernel, stride, padding, dilation), out_size)
    return {"maxima": maxima, "positions": positions}


@points("hw2.7", 3, "the maxima", cases=pooled_images, count=6)
def test_max_pool2d(pooling, x, kernel, stride, padding, dilation, out_size):
    arguments = kernel, stride, padding, dilation, out_size
    return twice("maxima", lambda x: pooled(pooling, x, *arguments)["maxima"], x)


@points("hw2.7", 2, "the positions of the maxima", cases=pooled_images, count=6)
def test_max_pool2d_positions(pooling, x, kernel, stride, padding, dilation, out_size):
    return {"positions": pooled(pooling, x, kernel, stride, padding, dilation, out_size)["positions"]}


@points("hw2.7", 2, "padding never wins, and shifts no position", cases=negative_images, count=4)
def test_max_pool2d_padding(pooling, x, kernel, stride, padding, dilation, out_size):
    return pooled(pooling, x, kernel, stride, padding, dilation, out_size)


@points("hw2.7", 1, "of equal pixels the first one", cases=images_with_ties, count=4)
def test_max_pool2d_ties(pooling, x, kernel, stride, padding, dilation, out_size):
    return pooled(pooling, x, kernel, stride, padding, dilation, out_size)


@points("hw2.7", 1, "dilated windows, and windows that hang over the edge", cases=hard_windows, count=4)
def test_max_pool2d_dilation_and_edge(pooling, x, kernel, stride, padding, dilation, out_size):
    return pooled(pooling, x, kernel, stride, padding, dilation, out_size)


@points("hw2.7", 1, "a NaN wins over everything", cases=images_with_nan, count=4)
def test_max_pool2d_nan(pooling, x, kernel, stride, padding, dilation, out_size):
    return pooled(pooling, x, kernel, stride, padding, dilation, out_size)


def winners_apart(draw: Draw) -> dict:
    n, c, h, w = some(draw), some(draw), 4, 6
    positions = np.stack([draw.integers(0, 1, n, c, 6) * 6 + np.arange(6) for _ in range(2)], axis=2)
    positions[:, :, 1] += 12  # the second row of windows lies in rows 2 and 3
    return {"dy": draw.normal(n, c, 2, 6), "indices": positions, "x_shape": (n, c, h, w)}


def shared_winners(draw: Draw) -> dict:
    n, c, h, w = some(draw), some(draw), draw.integer(3, 4), draw.integer(4, 5)
    indices = draw.integers(0, 4, n, c, 3, 3) + draw.integer(0, h * w - 5)
    return {"dy": draw.normal(n, c, 3, 3), "indices": indices, "x_shape": (n, c, h, w)}


@points("hw2.8", 3, "the gradient, where each pixel won once at most", cases=winners_apart, count=4)
def test_max_pool2d_grad(pooling, dy, indices, x_shape):
    return twice("gradient at x", pooling.max_pool2d_grad, dy, indices, x_shape)


@points("hw2.8", 3, "the sum over all windows that a pixel won", cases=shared_winners, count=4)
def test_max_pool2d_grad_overlap(pooling, dy, indices, x_shape):
    return {"gradient at x": pooling.max_pool2d_grad(dy, indices, x_shape)}


# ---- hw2.9 and hw2.10: batch norm ----------------------------------------------------------------------------------


def batch_case(draw: Draw) -> dict:
    """(N, C, H, W), batch 1 first; every channel has its own mean and deviation. eps is large enough to be missed.

    Then one channel alone, one that is constant, and last, in float64, values far from zero.
    """
    channels = 1 if draw.index == 2 else draw.integer(2, 4)
    x = draw.normal(some(draw), channels, draw.integer(2, 4), draw.integer(3, 5))
    mean = 1e5 * draw.uniform(1, 3, channels, 1, 1) if draw.index == 4 else draw.uniform(-3, 3, channels, 1, 1)
    x = mean + x * draw.uniform(0.3, 3, channels, 1, 1)
    if draw.index == 3:
        x[:, 0] = 0.5
    parameters = {"weight": draw.normal(channels), "bias": draw.normal(channels)}
    return {"x": x, **parameters, "eps": draw.choice([1e-2, 0.1])}


def flat_batch_case(draw: Draw) -> dict:
    """(N, C), (N, C, L) and (N, C, D, H, W), without weight, bias or both."""
    n, channels = draw.integer(3, 5), draw.integer(2, 4)
    shape = [(n, channels), (n, channels, 4), (n, channels), (n, channels, 2, 1, 3)][draw.index]
    return {
        "x": 2 + draw.normal(*shape),
        "weight": draw.normal(channels) if draw.index == 1 else None,
        "bias": draw.normal(channels) if draw.index == 2 else None,
        "eps": 1e-2,
    }


@points("hw2.9", 3, "the normalised output", cases=batch_case, count=5)
def test_batch_norm(norm, x, weight, bias, eps):
    return twice("output", lambda x: norm.batch_norm(x, weight, bias, eps)[0], x)


@points("hw2.9", 2, "the statistics that it returns", cases=batch_case, count=5)
def test_batch_norm_statistics(norm, x, weight, bias, eps):
    _, mean, variance, inv_std = norm.batch_norm(x, weight, bias, eps)
    return {"mean": mean, "variance": variance, "1 / sqrt(variance + eps)": inv_std}


@points("hw2.9", 2, "inputs (N, C), (N, C, L), (N, C, D, H, W), without weight or bias", cases=flat_batch_case, count=4)
def test_batch_norm_shapes(norm, x, weight, bias, eps):
    y, mean, variance, inv_std = norm.batch_norm(x, weight, bias, eps)
    return {"output": y, "mean": mean, "variance": variance, "1 / sqrt(variance + eps)": inv_std}


def running_case(draw: Draw) -> dict:
    channels = draw.integer(1, 4)
    return {
        "mean": draw.normal(channels),
        "batch_mean": draw.normal(channels),
        "variance": draw.uniform(0.5, 2, channels),
        "batch_variance": draw.uniform(0.5, 2, channels),
        "count": draw.integer(2, 6),
        "momentum": [0.1, 0.3, 1, 0, 0.25][draw.index],
    }


@points("hw2.9", 3, "the running mean and variance", cases=running_case, count=5)
def test_running_statistics(normalization, mean, batch_mean, variance, batch_variance, count, momentum):
    return {
        "running mean": normalization.updated_mean(mean, batch_mean, momentum),
        "running variance": normalization.updated_variance(variance, batch_variance, count, momentum),
    }


def batch_grad_case(draw: Draw) -> dict:
    return with_cotangent(draw, batch_case(draw))


def flat_batch_grad_case(draw: Draw) -> dict:
    return with_cotangent(draw, flat_batch_case(draw))


def with_cotangent(draw: Draw, case: dict) -> dict:
    """What the backward pass gets: the statistics are given, so it does not need a forward pass that is right."""
    x = case["x"]
    axes = (0, *range(2, x.ndim))
    inv_std = 1 / np.sqrt(x.var(axis=axes) + case["eps"])
    dy = draw.uniform(0, 1, *x.shape) + draw.normal(*x.shape)  # its mean is not zero
    statistics = {"mean": x.mean(axis=axes), "inv_std": inv_std.astype(x.dtype)}
    return {"dy": dy, "x": x, "weight": case["weight"], **statistics}


@points("hw2.10", 2, "the gradient at bias", cases=batch_grad_case, count=5)
def test_batch_norm_bias_grad(norm, dy, x, weight, mean, inv_std):
    return {"gradient at bias": norm.batch_norm_grad(dy, x, weight, mean, inv_std)[2]}


@points("hw2.10", 3, "the gradient at weight", cases=batch_grad_case, count=5)
def test_batch_norm_weight_grad(norm, dy, x, weight, mean, inv_std):
    return {"gradient at weight": norm.batch_norm_grad(dy, x, weight, mean, inv_std)[1]}


@points("hw2.10", 5, "the gradient at x", cases=batch_grad_case, count=5)
def test_batch_norm_input_grad(norm, dy, x, weight, mean, inv_std):
    return twice("gradient at x", lambda dy: norm.batch_norm_grad(dy, x, weight, mean, inv_std)[0], dy)


@points("hw2.10", 2, "the gradient at x with two, three or five axes, weight None", count=4,
        cases=flat_batch_grad_case)  # fmt: skip
def test_batch_norm_grad_shapes(norm, dy, x, weight, mean, inv_std):
    return {"gradient at x": norm.batch_norm_grad(dy, x, weight, mean, inv_std)[0]}


# ---- hw2.11: He initialisation -------------------------------------------------------------------------------------

SHAPES = [(5, 3), (4, 2, 3, 3), (6, 1, 5, 2), (2, 3, 4)]


@points("hw2.11", 2, "fan in and fan out", cases=[{"shape": shape} for shape in SHAPES])
def test_fan(init, shape):
    fan_in, fan_out = init.fan_in_and_fan_out(shape)
    return {"fan in": fan_in, "fan out": fan_out}


@points("hw2.11", 2, "the deviation in front of a ReLU", cases=[{"shape": shape} for shape in SHAPES])
def test_kaiming_std(init, shape):
    return {
        "standard deviation": init.kaiming_std(shape, nonlinearity="relu"),
        "with nothing but the shape given": init.kaiming_std(shape),
    }


OPTIONS = [
    {"shape": (4, 2, 3, 3), "a": 0.0, "mode": "fan_out", "nonlinearity": "relu"},
    {"shape": (4, 2, 3, 3), "a": 0.5, "mode": "fan_in", "nonlinearity": "leaky_relu"},
    {"shape": (5, 3), "a": 0.0, "mode": "fan_in", "nonlinearity": "tanh"},
    {"shape": (5, 3, 2), "a": 2, "mode": "fan_out", "nonlinearity": "leaky_relu"},
    {"shape": (5, 3), "a": 0, "mode": "fan_in", "nonlinearity": "leaky_relu"},
    {"shape": (5, 0), "a": 0.0, "mode": "fan_in", "nonlinearity": "linear"},
    {"shape": (0, 4), "a": 0.0, "mode": "fan_out", "nonlinearity": "relu"},
    {"shape": (5, 0, 3, 2), "a": 0.0, "mode": "fan_in", "nonlinearity": "selu"},
]


@points("hw2.11", 1, "the deviation for another mode, slope, nonlinearity, and an empty weight", cases=OPTIONS)
def test_kaiming_std_options(init, shape, a, mode, nonlinearity):
    return {"standard deviation": init.kaiming_std(shape, a, mode, nonlinearity)}


@points("hw2.11", 1, "refuses a vector, a number, a mode and a nonlinearity that are none")
def test_scale_refuses(init):
    return {
        "a weight with one dimension": raises(init.fan_in_and_fan_out, (4,)),
        "a weight without dimensions": raises(init.fan_in_and_fan_out, ()),
        "the deviation of a weight with one dimension": raises(init.kaiming_std, (4,)),
        "mode 'fan_avg'": raises(init.kaiming_std, (4, 3), 0, "fan_avg"),
        "nonlinearity 'swoosh'": raises(init.kaiming_std, (4, 3), 0, "fan_in", "swoosh"),
    }
