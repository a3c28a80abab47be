"""Homework 6: deformable convolution. `pytest tests/test_deformable.py` grades assignments/hw6_deformable."""

import re

import numpy as np
from numba.core.errors import NumbaError

from minicnn import Tensor
from minicnn.backend.base import Window
from minicnn.course.checks import Draw, points
from minicnn.course.drivers import Unusable, fill, gradients, parameters, plain_sampling, run, tensor

# kernel, stride, dilation: (along height, along width); padding: (above, below, left, right)
PLAIN = {"kernel": (2, 3), "stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
GEOMETRIES = [
    {**PLAIN, "stride": (2, 3)},
    {**PLAIN, "padding": (2, 0, 1, 3)},
    {**PLAIN, "kernel": (3, 2), "dilation": (3, 2)},
    {"kernel": (3, 2), "stride": (3, 2), "padding": (1, 2, 2, 0), "dilation": (1, 3)},
]
NOWHERE = (np.nan, np.inf, -np.inf, 1e30)


def window(kernel, stride, padding, dilation) -> Window:
    above, below, left, right = padding
    return Window(kernel, stride, ((above, below), (left, right)), dilation)


def compiled(function, *args):
    """Call a function of Numba's: first as plain Python, on copies, then compiled.

    Plain Python says in which line an error is, refuses an index that is out of range, and can be stopped. Compiled
    code would read or write whatever lies there.
    """
    plain = getattr(function, "py_func", function)
    plain(*(x.copy() if isinstance(x, np.ndarray) else x for x in args))
    try:
        return function(*args)
    except NumbaError as error:
        reasons = [line for line in str(error).splitlines() if line and not line.startswith(("Failed in", "During:"))]
        lines = re.findall(rf'{re.escape(plain.__code__.co_filename)}", line (\d+)', str(error))
        line = f" (line {lines[-1]})" if lines else ""
        raise Unusable(f"as Python it runs, but Numba cannot compile it{line}: {reasons[0].strip()}") from None


# ---- hw6.1: place --------------------------------------------------------------------------------------------------


def places(sampling, offset, window, groups):
    """Where all taps of all windows sample, (groups * taps, oH, oW) each."""
    kernel_h, kernel_w = window.kernel_size
    each = np.ndindex(groups, kernel_h * kernel_w, *offset.shape[1:])
    found = np.array([compiled(sampling.place, offset, *numbers, window) for numbers in each], offset.dtype)
    y, x = found.T.reshape(2, groups * kernel_h * kernel_w, *offset.shape[1:])
    return {"y": y, "x": x}


def offsets(draw: Draw, geometry: dict, groups: int = 1) -> dict:
    kernel_h, kernel_w = geometry["kernel"]
    return {"offset": 3 * draw.normal(2 * groups * kernel_h * kernel_w, draw.size(1, 2), draw.size(2, 3)), **geometry}


def still(draw: Draw) -> dict:
    case = offsets(draw, [PLAIN, *GEOMETRIES][draw.index])
    return {**case, "offset": np.zeros_like(case["offset"])}


def grouped(draw: Draw) -> dict:
    return {**offsets(draw, PLAIN, groups=2 + draw.index), "groups": 2 + draw.index}


@points("hw6.1", 4, "the places where all offsets are zero, on the regular grid", cases=still, count=5)
def test_place_regular_grid(sampling, offset, kernel, stride, padding, dilation):
    return places(sampling, offset, window(kernel, stride, padding, dilation), 1)


def moved(draw: Draw) -> dict:
    """In the last case four of the places are far away or nowhere."""
    case = offsets(draw, PLAIN)
    if draw.index == 3:
        case["offset"].reshape(-1)[:: case["offset"].size // 4][:4] = NOWHERE
    return case


@points("hw6.1", 4, "the places that offsets have moved", cases=moved, count=4)
def test_place_offsets(sampling, offset, kernel, stride, padding, dilation):
    return places(sampling, offset, window(kernel, stride, padding, dilation), 1)


@points("hw6.1", 2, "the places with offsets, stride, padding and dilation", count=4,
        cases=lambda draw: offsets(draw, GEOMETRIES[draw.index]))  # fmt: skip
def test_place_geometry(sampling, offset, kernel, stride, padding, dilation):
    return places(sampling, offset, window(kernel, stride, padding, dilation), 1)


@points("hw6.1", 2, "the places with several groups of offsets", cases=grouped, count=2)
def test_place_groups(sampling, offset, kernel, stride, padding, dilation, groups):
    return places(sampling, offset, window(kernel, stride, padding, dilation), groups)


# ---- hw6.2 and hw6.3: corners and slopes ---------------------------------------------------------------------------


def inside(draw: Draw) -> dict:
    """Places between four pixels of the image."""
    height, width = draw.size(2, 4), draw.size(3, 6)
    y, x = (draw.integers(0, side - 2, 5) + draw.uniform(0.1, 0.9, 5) for side in (height, width))
    return {"y": y.astype(draw.dtype), "x": x.astype(draw.dtype), "height": height, "width": width}


def at_the_border(draw: Draw) -> dict:
    """Places less than a pixel outside: at one side, at two at a corner, and in an image of one row."""
    height, width = draw.choice([1, 3]), 4
    y = np.array([-0.7, -0.2, height - 0.6, 0.0, 0.0, -0.3, -0.4, height - 0.8, height - 0.1])
    x = np.array([1.2, 2.9, 0.3, -0.6, width - 0.7, -0.1, width - 0.2, -0.8, width - 0.9])
    shift = draw.uniform(0.0, 0.1, 2, 9)
    return {
        "y": (y + shift[0]).astype(draw.dtype),
        "x": (x + shift[1]).astype(draw.dtype),
        "height": height,
        "width": width,
    }


def on_grid_lines(draw: Draw) -> dict:
    """Places with a whole row, a whole column, or both; also the last and the first outside; and just beside them."""
    height, width = 3, 5
    y = np.concatenate([np.arange(-1, 3), draw.uniform(0.2, 0.8, 4), [0, -1, 2, 1, 1 - 2e-5, 2e-5, -2e-5]])
    x = np.concatenate([draw.uniform(1.2, 1.8, 4), np.arange(-1, 5, 2), [4], [0, -1, 4, 2, 2 + 2e-5, 1.5, 4 - 2e-5]])
    return {"y": y.astype(draw.dtype), "x": x.astype(draw.dtype), "height": height, "width": width}


def far_outside(draw: Draw) -> dict:
    y = np.array([-1.4, 3.2, 1.5, 0.5, -7.0, 9.5, np.nan, 1.5, np.inf, 0.5, 1e9])
    x = np.array([1.5, 0.5, -1.3, 5.3, 12.5, -3.1, 1.5, np.nan, 0.5, -np.inf, 1.5])
    return {"y": y.astype(draw.dtype), "x": x.astype(draw.dtype), "height": 3, "width": 5}


def at_each_place(function, y, x, height, width, **dtypes):
    """What a function gives at each place, under a name that says which: ``weights, at y=-1, x=1.5``."""
    answers = {name: {} for name in dtypes}
    for place in zip(y, x, strict=True):
        for name, four in zip(dtypes, compiled(function, *place, height, width), strict=True):
            answers[name]["at y={:.6g}, x={:.6g}".format(*place)] = np.array(four, dtypes[name])
    return answers


def corners(sampling, y, x, height, width):
    """Addresses and weights of the four corners of each place."""
    return at_each_place(sampling.corners, y, x, height, width, addresses=None, weights=y.dtype)


def slopes(sampling, y, x, height, width):
    """Derivatives of the weights in y and in x, four of each at each place."""
    return at_each_place(sampling.slopes, y, x, height, width, **{"slopes in y": y.dtype, "slopes in x": y.dtype})


@points("hw6.2", 3, "the addresses of the four corners, in their order", cases=inside, count=4)
def test_corner_addresses(sampling, y, x, height, width):
    return {"addresses": corners(sampling, y, x, height, width)["addresses"]}


@points("hw6.2", 4, "the weights of the four corners, in their order", cases=inside, count=4)
def test_corner_weights(sampling, y, x, height, width):
    return {"weights": corners(sampling, y, x, height, width)["weights"]}


@points("hw6.2", 4, "the corners of places less than a pixel outside", cases=at_the_border, count=4)
def test_corners_at_the_border(sampling, y, x, height, width):
    return corners(sampling, y, x, height, width)


@points("hw6.2", 2, "the corners of places on grid lines", cases=on_grid_lines, count=2)
def test_corners_on_grid_lines(sampling, y, x, height, width):
    return corners(sampling, y, x, height, width)


@points("hw6.2", 3, "the corners of places far outside, and of those that are no numbers", cases=far_outside, count=2)
def test_corners_far_outside(sampling, y, x, height, width):
    return corners(sampling, y, x, height, width)


@points("hw6.3", 3, "the slopes in y", cases=inside, count=4)
def test_slopes_in_y(sampling, y, x, height, width):
    return {"slopes in y": slopes(sampling, y, x, height, width)["slopes in y"]}


@points("hw6.3", 3, "the slopes in x", cases=inside, count=4)
def test_slopes_in_x(sampling, y, x, height, width):
    return {"slopes in x": slopes(sampling, y, x, height, width)["slopes in x"]}


@points("hw6.3", 2, "the slopes at places less than a pixel outside", cases=at_the_border, count=4)
def test_slopes_at_the_border(sampling, y, x, height, width):
    return slopes(sampling, y, x, height, width)


@points("hw6.3", 2, "the slopes on grid lines, towards larger coordinates", cases=on_grid_lines, count=2)
def test_slopes_on_grid_lines(sampling, y, x, height, width):
    return slopes(sampling, y, x, height, width)


@points("hw6.3", 2, "the slopes far outside, and where there is no number", cases=far_outside, count=2)
def test_slopes_far_outside(sampling, y, x, height, width):
    return slopes(sampling, y, x, height, width)


# ---- hw6.4 to hw6.6: one tap and one channel -----------------------------------------------------------------------


def lists(draw: Draw, windows: int, pixels: int) -> dict:
    """What a tap's windows read: any pixels, often the same ones, with weights that need not add up to one.

    In odd cases a mask of any sign is in the weights, and the last window lies outside the image.
    """
    addresses, weights = draw.integers(0, pixels - 1, 4, windows), draw.uniform(0.1, 0.9, 4, windows)
    if draw.index % 2:
        weights *= draw.uniform(-2, 2, windows)
        addresses[:, -1], weights[:, -1] = 0, 0
    return {"addresses": addresses, "weights": weights}


def reading(draw: Draw) -> dict:
    pixels, windows = draw.size(4, 15), draw.size(1, 25)
    return {"plane": draw.normal(pixels), **lists(draw, windows, pixels), "before": np.zeros(windows, draw.dtype)}


def reading_into_used_memory(draw: Draw) -> dict:
    case = reading(draw)
    return {**case, "before": draw.away_from_zero(case["addresses"].shape[1])}


def apart(draw: Draw) -> dict:
    """Cotangents whose windows share no pixel, and a plane without gradients yet."""
    windows = draw.size(1, 4)
    pixels = np.argsort(draw.normal(4 * windows + 2))[: 4 * windows]
    return {
        "cotangent": draw.normal(windows),
        "addresses": pixels.reshape(4, windows),
        "weights": draw.uniform(0.1, 0.9, 4, windows),
        "before": np.zeros(4 * windows + 2, draw.dtype),
    }


def overlapping(draw: Draw) -> dict:
    pixels, windows = draw.size(4, 9), draw.size(4, 25)
    return {"cotangent": draw.normal(windows), **lists(draw, windows, pixels), "before": np.zeros(pixels, draw.dtype)}


def another_tap(draw: Draw) -> dict:
    case = overlapping(draw) if draw.index else apart(draw)
    return {**case, "before": draw.away_from_zero(case["before"].size)}


def gathered(sampling, plane, addresses, weights, before):
    samples = before.copy()
    compiled(sampling.gather, plane, addresses, weights, samples)
    return {"samples": samples}


def scattered(sampling, cotangent, addresses, weights, before):
    d_plane = before.copy()
    compiled(sampling.scatter, cotangent, addresses, weights, d_plane)
    return {"gradient at the plane": d_plane}


@points("hw6.4", 7, "the samples", cases=reading, count=4)
def test_gather(sampling, plane, addresses, weights, before):
    return gathered(sampling, plane, addresses, weights, before)


@points("hw6.4", 3, "the samples, in memory that held something else", cases=reading_into_used_memory, count=4)
def test_gather_overwrites(sampling, plane, addresses, weights, before):
    return gathered(sampling, plane, addresses, weights, before)


@points("hw6.5", 4, "the gradient at the image, where windows share no pixel", cases=apart, count=4)
def test_scatter(sampling, cotangent, addresses, weights, before):
    return scattered(sampling, cotangent, addresses, weights, before)


@points("hw6.5", 3, "the sum over windows that share pixels", cases=overlapping, count=4)
def test_scatter_overlap(sampling, cotangent, addresses, weights, before):
    return scattered(sampling, cotangent, addresses, weights, before)


@points("hw6.5", 3, "the sum with what other taps have brought", cases=another_tap, count=4)
def test_scatter_adds(sampling, cotangent, addresses, weights, before):
    return scattered(sampling, cotangent, addresses, weights, before)


def first_channel(draw: Draw) -> dict:
    pixels, windows = draw.size(4, 15), draw.size(1, 7)
    return {
        "cotangent": draw.normal(windows),
        "plane": draw.normal(pixels),
        "addresses": draw.integers(0, pixels - 1, 4, windows),
        "before": np.zeros((4, windows), draw.dtype),
    }


def another_channel(draw: Draw) -> dict:
    """With a window from which no gradient comes."""
    case = first_channel(draw)
    case["cotangent"][-1] = 0
    return {**case, "before": draw.away_from_zero(*case["before"].shape)}


def summed(sampling, cotangent, plane, addresses, before):
    d_weights = before.copy()
    compiled(sampling.weight_grad, cotangent, plane, addresses, d_weights)
    return {"gradient at the weights": d_weights}


@points("hw6.6", 3, "the gradient at the weights, of the first channel", cases=first_channel, count=4)
def test_weight_grad(sampling, cotangent, plane, addresses, before):
    return summed(sampling, cotangent, plane, addresses, before)


@points("hw6.6", 2, "the gradient at the weights, added to the channels before", cases=another_channel, count=4)
def test_weight_grad_adds(sampling, cotangent, plane, addresses, before):
    return summed(sampling, cotangent, plane, addresses, before)


def chain(draw: Draw) -> dict:
    windows = draw.size(2, 6)
    return {
        "d_weights": draw.normal(4, windows),
        "weights": draw.uniform(0.1, 0.9, 4, windows),
        "slopes_y": draw.uniform(-1, 1, 4, windows),
        "slopes_x": draw.uniform(-1, 1, 4, windows),
        "modulation": np.ones(windows, draw.dtype),
        "before": draw.away_from_zero(3, windows),
    }


def masked(draw: Draw) -> dict:
    """The last two cases have masks that no sigmoid gives, and one of 0."""
    case = chain(draw)
    modulation = draw.uniform(0.2, 0.8, case["weights"].shape[1])
    if draw.index > 1:
        modulation = draw.uniform(-3, 3, modulation.size)
        modulation[0], modulation[-1] = 2.5, 0
    return {**case, "modulation": modulation}


def chained(sampling, d_weights, weights, slopes_y, slopes_x, modulation, before):
    d_y, d_x, d_modulation = before.copy()
    compiled(sampling.offset_grad, d_weights, weights, slopes_y, slopes_x, modulation, d_y, d_x, d_modulation)
    return {"gradient at dy": d_y, "gradient at dx": d_x, "gradient at the mask": d_modulation}


@points("hw6.6", 4, "the gradients at the offsets, where the mask is one", cases=chain, count=4)
def test_offset_grad(sampling, d_weights, weights, slopes_y, slopes_x, modulation, before):
    answers = chained(sampling, d_weights, weights, slopes_y, slopes_x, modulation, before)
    return {name: answers[name] for name in ("gradient at dy", "gradient at dx")}


@points("hw6.6", 3, "the gradients at the offsets, with a mask", cases=masked, count=4)
def test_offset_grad_mask(sampling, d_weights, weights, slopes_y, slopes_x, modulation, before):
    answers = chained(sampling, d_weights, weights, slopes_y, slopes_x, modulation, before)
    return {name: answers[name] for name in ("gradient at dy", "gradient at dx")}


@points("hw6.6", 4, "the gradient at the mask", cases=masked, count=4)
def test_mask_grad(sampling, d_weights, weights, slopes_y, slopes_x, modulation, before):
    answers = chained(sampling, d_weights, weights, slopes_y, slopes_x, modulation, before)
    return {"gradient at the mask": answers["gradient at the mask"]}


# ---- hw6.7: the convolution ----------------------------------------------------------------------------------------


def images(draw: Draw, geometry: dict = PLAIN, groups: int = 1, offset_groups: int = 1, mask: bool = False) -> dict:
    """Everything that a deformable convolution takes; four channels, so that groups of both kinds fit."""
    n, height, width = draw.size(1, 3), draw.integer(5, 6), draw.integer(6, 8)
    taps = geometry["kernel"][0] * geometry["kernel"][1]
    out = window(**geometry).output_size((height, width))
    filters = groups * draw.integer(1, 2) if groups > 1 else draw.integer(2, 3) if draw.index else out[1]
    return {
        "x": draw.normal(n, 4, height, width),
        "offset": draw.integers(-1, 1, n, 2 * offset_groups * taps, *out) + draw.uniform(0.1, 0.9, n, 1, *out),
        "weight": draw.normal(filters, 4 // groups, *geometry["kernel"]),
        "bias": draw.normal(filters) if draw.index != 1 else None,
        "mask": draw.uniform(0.2, 0.9, n, offset_groups * taps, *out) if mask else None,
        "groups": groups,
        "offset_groups": offset_groups,
        **geometry,
    }


def as_drawn(draw: Draw, **options) -> dict:
    case = images(draw, **options)
    return {**case, "offset": case["offset"].astype(draw.dtype)}


def plain_images(draw: Draw) -> dict:
    return as_drawn(draw, geometry=PLAIN if draw.index < 2 else GEOMETRIES[3])


def grouped_images(draw: Draw) -> dict:
    return as_drawn(draw, groups=[2, 4, 2][draw.index])


def masked_images(draw: Draw) -> dict:
    """In the last case the convolution is strided, padded and dilated, and its bias is 0, as at the start."""
    last = draw.index == 2
    case = as_drawn(draw, geometry=GEOMETRIES[3] if last else PLAIN,
                    groups=[1, 2, 4][draw.index], offset_groups=[2, 4, 2][draw.index], mask=True)  # fmt: skip
    return {**case, "bias": 0 * case["bias"]} if last else case


def convolved(deform_conv, x, offset, weight, bias, mask, groups, offset_groups, kernel, stride, padding, dilation):
    """The output, and the tensors that went in."""
    given = {"x": x, "offset": offset, "weight": weight, "bias": bias, "mask": mask}
    tensors = {name: None if a is None else tensor(a, requires_grad=True) for name, a in given.items()}
    y = deform_conv.sample_and_convolve(
        tensors["x"], tensors["offset"], tensors["weight"], tensors["bias"],
        window(kernel, stride, padding, dilation), tensors["mask"], groups, offset_groups,
    )  # fmt: skip
    return y, {name: t for name, t in tensors.items() if t is not None}


@points("hw6.7", 3, "the output, contiguous", cases=plain_images, count=4)
def test_deform_conv(deform_conv, **case):
    with plain_sampling():
        output = convolved(deform_conv, **case)[0]
        return {"output": output, "it is contiguous": isinstance(output, Tensor) and output.is_contiguous()}


@points("hw6.7", 3, "the output with groups of filters", cases=grouped_images, count=3)
def test_deform_conv_groups(deform_conv, **case):
    with plain_sampling():
        return {"output": convolved(deform_conv, **case)[0]}


@points("hw6.7", 3, "the output with groups of offsets and a mask", cases=masked_images, count=3)
def test_deform_conv_offset_groups_and_mask(deform_conv, **case):
    with plain_sampling():
        return {"output": convolved(deform_conv, **case)[0]}


@points("hw6.7", 3, "the gradients at image, offsets, weight, bias and mask", cases=masked_images, count=3)
def test_deform_conv_gradients(deform_conv, **case):
    with plain_sampling():
        return gradients(*convolved(deform_conv, **case), seed=0)


# ---- hw6.8: OffsetConv2d -------------------------------------------------------------------------------------------

LAYERS = [
    {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1, "bias": True},
    {"kernel": (2, 3), "stride": (2, 1), "padding": (0, 2), "dilation": (1, 1), "groups": 2, "bias": False},
    {"kernel": (3, 2), "stride": (1, 2), "padding": (2, 1), "dilation": (2, 3), "groups": 1, "bias": False},
]


def built(deformable, kernel, stride, padding, dilation, groups, bias, modulated):
    if modulated:  # by position, but for what must be named
        return deformable.OffsetConv2d(4, 6, kernel, stride, padding, dilation, groups, bias, modulated=True)
    return deformable.OffsetConv2d(4, 6, kernel, padding=padding, stride=stride, dilation=dilation, groups=groups,
                                   bias=bias)  # fmt: skip


def layer_case(draw: Draw) -> dict:
    return {**LAYERS[draw.index % 3], "modulated": draw.index >= 3}


def layer_on_images(draw: Draw) -> dict:
    x = draw.normal(draw.size(1, 2), 4, draw.integer(6, 7), draw.integer(7, 8))
    return {"x": x, **layer_case(draw), "seed": draw.seed()}


def plain_layer(draw: Draw) -> dict:
    return {**layer_on_images(draw), "modulated": False}


def modulated_layer(draw: Draw) -> dict:
    return {**layer_on_images(draw), "modulated": True}


@points("hw6.8", 2, "the names and shapes of its parameters", cases=layer_case, count=6)
def test_offset_conv_parameters(deformable, **options):
    layer = built(deformable, **options)
    return {**parameters(layer), "taps": layer.taps, "modulated": layer.modulated}


@points("hw6.8", 2, "the start: offsets of zero, a kernel that is not zero", cases=layer_on_images, count=6)
def test_offset_conv_start(deformable, x, seed, **options):
    layer = built(deformable, **options).to(x.dtype)
    return {"offsets": run(layer.offsets, x), "the kernel has numbers": bool(layer.weight.detach().numpy().any())}


@points("hw6.8", 2, "the offsets that it predicts", cases=plain_layer, count=3)
def test_offset_conv_where(deformable, x, seed, **options):
    offset, mask = run(fill(built(deformable, **options), seed).where, x)
    return {"offsets": offset, "mask": mask}


@points("hw6.8", 2, "the offsets and the mask that it predicts", cases=modulated_layer, count=3)
def test_offset_conv_mask(deformable, x, seed, **options):
    offset, mask = run(fill(built(deformable, **options), seed).where, x)
    return {"offsets": offset, "mask": mask}


@points("hw6.8", 2, "the output, in both modes, and of other images", cases=layer_on_images, count=6)
def test_offset_conv_output(deformable, x, seed, **options):
    layer = fill(built(deformable, **options), seed)
    with plain_sampling():
        answers = {"output": run(layer, x)}
        return {**answers, "output of other images, in evaluation": run(layer.eval(), x[:, :, ::-1].copy())}


@points("hw6.8", 2, "the gradients at the input and the parameters", cases=layer_on_images, count=6)
def test_offset_conv_gradients(deformable, x, seed, **options):
    layer = fill(built(deformable, **options), seed)
    image = tensor(x, requires_grad=True)
    with plain_sampling():
        return gradients(layer(image), {"x": image, **dict(layer.named_parameters())}, seed)
