"""Laws that the operations obey, whatever their inputs: linearity, adjoints, invariances, inverses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
import minicnn.nn.functional as F
from tests.library.support.cases.layers import CASES as LAYERS
from tests.library.support.cases.shapes import CASES as SHAPES
from tests.library.support.strategies import (
    SEEDS,
    arrays,
    convolutions,
    distinct,
    images,
    normal,
    poolings,
    random_cotangent,
    shapes,
)

DRAWS = {case.name: case.draw for case in (*LAYERS, *SHAPES)}
NUMBERS = st.floats(-3, 3)
SIDES = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(3, 6), st.integers(3, 6))


def tensors(*values):
    return [minicnn.tensor(value) for value in values]


def leaves(*values):
    return [minicnn.tensor(value, requires_grad=True) for value in values]


def close(a, b, tolerance=1e-9):
    a, b = (x.detach().numpy() if isinstance(x, minicnn.Tensor) else x for x in (a, b))
    np.testing.assert_allclose(a, b, tolerance, tolerance)


def pull_back(fn, cotangent, *points):
    """The vector-Jacobian products of ``fn`` at ``points``."""
    inputs = leaves(*points)
    fn(*inputs).backward(minicnn.tensor(cotangent))
    return [x.grad.numpy() for x in inputs]


# --- convolution ----------------------------------------------------------------------------------------------------


@given(drawn=convolutions(), seed=SEEDS, a=NUMBERS, b=NUMBERS)
def test_convolution_is_linear_in_the_image_and_in_the_kernel(drawn, seed, a, b):
    (x, w, *_), options = drawn
    x2, w2 = normal(x.shape, seed), normal(w.shape, seed + 1)

    def conv(image, kernel):
        return F.conv2d(*tensors(image, kernel), **options).numpy()

    close(conv(a * x + b * x2, w), a * conv(x, w) + b * conv(x2, w))
    close(conv(x, a * w + b * w2), a * conv(x, w) + b * conv(x, w2))


@given(drawn=convolutions(), seed=SEEDS)
def test_the_gradients_of_convolution_are_its_adjoints(drawn, seed):
    """<conv(x, w), y> = <x, dx(y)> = <w, dw(y)>."""
    (x, w, *_), options = drawn
    y = F.conv2d(*tensors(x, w), **options).numpy()
    cotangent = random_cotangent(y.shape, seed)
    dx, dw = pull_back(lambda a, b: F.conv2d(a, b, **options), cotangent, x, w)
    close((y * cotangent).sum(), (x * dx).sum())
    close((y * cotangent).sum(), (w * dw).sum())


@given(x=images(max_length=6), row=st.integers(-2, 2), column=st.integers(-2, 2))
def test_a_kernel_with_a_single_one_shifts(x, row, column):
    """Cross-correlation with a one at (2 + row, 2 + column) of a 5x5 kernel: y[i, j] = x[i + row, j + column]."""
    channels = x.shape[1]
    kernel = np.zeros((channels, 1, 5, 5))
    kernel[:, 0, 2 + row, 2 + column] = 1
    got = F.conv2d(*tensors(x, kernel), padding=2, groups=channels).numpy()
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    np.testing.assert_array_equal(got, padded[:, :, 2 + row :, 2 + column :][:, :, : x.shape[2], : x.shape[3]])


@given(shape=SIDES, seed=SEEDS, step=st.integers(1, 3))
def test_convolution_of_a_shifted_image_is_shifted(shape, seed, step):
    """Away from the border, on which the shift makes itself felt."""
    x, w = normal(shape, seed), normal((2, shape[1], 2, 3), seed + 1)
    image = np.pad(x, ((0, 0), (0, 0), (4, 4), (4, 4)))
    y = F.conv2d(*tensors(image, w)).numpy()
    moved = F.conv2d(*tensors(np.roll(image, (step, -step), (2, 3)), w)).numpy()
    close(np.roll(y, (step, -step), (2, 3))[:, :, 3:-3, 3:-3], moved[:, :, 3:-3, 3:-3])


@given(x=images(max_length=6), seed=SEEDS, stride=st.integers(1, 3))
def test_a_strided_convolution_is_a_sampled_one(x, seed, stride):
    w = normal((2, x.shape[1], 3, 3), seed)
    dense = F.conv2d(*tensors(x, w), padding=1).numpy()
    np.testing.assert_allclose(
        F.conv2d(*tensors(x, w), padding=1, stride=stride).numpy(), dense[:, :, ::stride, ::stride], 1e-12, 1e-12
    )


@given(shape=SIDES, seed=SEEDS, dilation=st.integers(1, 2))
def test_a_dilated_kernel_is_one_with_holes(shape, seed, dilation):
    x, w = normal(shape, seed), normal((2, shape[1], 2, 2), seed)
    holes = np.zeros((2, shape[1], dilation + 1, dilation + 1))
    holes[:, :, ::dilation, ::dilation] = w
    close(F.conv2d(*tensors(x, w), dilation=dilation), F.conv2d(*tensors(x, holes)))


@given(drawn=convolutions())
def test_a_grouped_convolution_is_several_side_by_side(drawn):
    (x, w, *bias), options = drawn
    groups = options.pop("groups")
    parts = [
        F.conv2d(*tensors(part, kernel), None if shift is None else minicnn.tensor(shift), **options)
        for part, kernel, shift in zip(
            np.split(x, groups, 1),
            np.split(w, groups),
            np.split(bias[0], groups) if bias else [None] * groups,
            strict=True,
        )
    ]
    close(F.conv2d(*tensors(x, w, *bias), groups=groups, **options), minicnn.cat(parts, 1))


@given(x=images(), seed=SEEDS)
def test_a_1x1_convolution_is_a_linear_layer_on_every_pixel(x, seed):
    w, b = normal((4, x.shape[1]), seed), normal((4,), seed + 1)
    pixels = F.linear(minicnn.tensor(x).permute(0, 2, 3, 1), *tensors(w, b)).permute(0, 3, 1, 2)
    close(F.conv2d(*tensors(x, w[:, :, None, None], b)), pixels)


@given(x=images(), seed=SEEDS)
def test_a_kernel_as_large_as_the_image_is_a_linear_layer(x, seed):
    w = normal((4, *x.shape[1:]), seed)
    close(F.conv2d(*tensors(x, w)).flatten(1), F.linear(minicnn.tensor(x).flatten(1), minicnn.tensor(w).flatten(1)))


@given(shape=SIDES, seed=SEEDS)
def test_two_3x3_kernels_in_a_row_are_one_5x5_kernel(shape, seed):
    """Convolution is associative: VGG's argument about receptive fields, without the non-linearity between."""
    x, first, second = normal((1, 1, 7, 6), seed), normal((1, 1, 3, 3), seed + 1), normal((1, 1, 3, 3), seed + 2)
    flipped = np.ascontiguousarray(first[:, :, ::-1, ::-1])
    both = F.conv2d(*tensors(second, flipped), padding=2)
    close(F.conv2d(F.conv2d(*tensors(x, first)), minicnn.tensor(second)), F.conv2d(minicnn.tensor(x), both))


# --- pooling --------------------------------------------------------------------------------------------------------


@given(drawn=poolings())
def test_max_pooling_commutes_with_rising_functions(drawn):
    (x,), options = drawn
    for rising in (lambda t: 3 * t + 1, lambda t: t.exp(), lambda t: t**3):
        close(F.max_pool2d(rising(minicnn.tensor(x)), **options), rising(F.max_pool2d(minicnn.tensor(x), **options)))


@given(drawn=poolings(), seed=SEEDS)
def test_relu_before_or_after_max_pooling_is_the_same(drawn, seed):
    """In value and in gradient."""
    (x,), options = drawn
    shape = F.max_pool2d(minicnn.tensor(x), **options).shape
    ways = (lambda t: F.relu(F.max_pool2d(t, **options)), lambda t: F.max_pool2d(F.relu(t), **options))
    close(*(way(minicnn.tensor(x)) for way in ways))
    close(*(pull_back(way, random_cotangent(shape, seed), x)[0] for way in ways))


@given(drawn=poolings(), seed=SEEDS)
def test_average_pooling_is_convolution_with_a_constant_kernel(drawn, seed):
    (x,), options = drawn
    options.pop("ceil_mode")
    channels = x.shape[1]
    kernel_size, stride = options.pop("kernel_size"), options.pop("stride")
    sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    kernel = minicnn.full((channels, 1, *sides), 1 / np.prod(sides), dtype=minicnn.float64)

    def by_convolution(t):
        return F.conv2d(t, kernel, stride=kernel_size if stride is None else stride, groups=channels, **options)

    def by_pooling(t):
        return F.avg_pool2d(t, kernel_size, stride, **options)

    close(by_pooling(minicnn.tensor(x)), by_convolution(minicnn.tensor(x)))
    cotangent = random_cotangent(by_pooling(minicnn.tensor(x)).shape, seed)
    close(*(pull_back(way, cotangent, x)[0] for way in (by_pooling, by_convolution)))


@given(x=images())
def test_the_largest_pools(x):
    t, sides = minicnn.tensor(x), x.shape[2:]
    close(F.adaptive_avg_pool2d(t, 1), t.mean((2, 3), keepdim=True))
    close(F.avg_pool2d(t, sides), t.mean((2, 3), keepdim=True))
    close(F.max_pool2d(t, sides), t.amax((2, 3), keepdim=True))
    close(F.adaptive_avg_pool2d(t, sides), t)
    close(F.max_pool2d(t, 1), t)


@given(x=images(), factor=st.integers(1, 3))
def test_adaptive_pooling_to_a_divisor_is_plain_pooling(x, factor):
    tiled = np.tile(x, (1, 1, factor, factor))
    close(F.adaptive_avg_pool2d(minicnn.tensor(tiled), x.shape[2:]), F.avg_pool2d(minicnn.tensor(tiled), factor))


@given(drawn=DRAWS["adaptive_avg_pool2d"], seed=SEEDS)
def test_pooling_gradients_keep_the_sum(drawn, seed):
    """Every output is an average, so a cotangent is shared out completely."""
    (x,), options = drawn
    y = F.adaptive_avg_pool2d(minicnn.tensor(x), **options)
    cotangent = random_cotangent(y.shape, seed)
    (dx,) = pull_back(lambda t: F.adaptive_avg_pool2d(t, **options), cotangent, x)
    close(dx.sum((2, 3)), cotangent.sum((2, 3)))
    close((y.numpy() * cotangent).sum(), (x * dx).sum())  # linear, so the gradient is the adjoint


# --- normalisation --------------------------------------------------------------------------------------------------


@given(drawn=DRAWS["batch_norm training"], seed=SEEDS)
def test_batch_norm_ignores_an_affine_change_of_its_input(drawn, seed):
    """Per channel, up to the sign of the scale; with eps = 0 exactly."""
    (x, weight, bias), _ = drawn
    rng = np.random.default_rng(seed)
    lined_up = (1, -1, *[1] * (x.ndim - 2))
    scale, shift = rng.uniform(0.5, 3, x.shape[1]).reshape(lined_up), rng.normal(size=x.shape[1]).reshape(lined_up)

    def norm(array):
        return F.batch_norm(minicnn.tensor(array), None, None, *tensors(weight, bias), training=True, eps=0.0)

    close(norm(x * scale + shift), norm(x), 1e-7)


@given(drawn=DRAWS["batch_norm training"])
def test_batch_norm_gives_every_channel_the_bias_as_mean_and_the_weight_as_deviation(drawn):
    (x, weight, bias), _ = drawn
    y = F.batch_norm(*tensors(x), None, None, *tensors(weight, bias), training=True, eps=0.0)
    axes = (0, *range(2, x.ndim))
    close(y.mean(axes), bias)
    close(y.std(axes, unbiased=False), np.abs(weight))


@given(drawn=DRAWS["batch_norm training"], seed=SEEDS)
def test_the_gradient_of_batch_norm_has_no_part_along_what_it_ignores(drawn, seed):
    """The output does not move when x is shifted or scaled, so the gradient is orthogonal to both directions."""
    (x, weight, bias), _ = drawn
    dx, _, _ = pull_back(
        lambda *t: F.batch_norm(t[0], None, None, *t[1:], training=True, eps=0.0),
        random_cotangent(x.shape, seed),
        x,
        weight,
        bias,
    )
    axes = (0, *range(2, x.ndim))
    close(dx.sum(axes), 0, 1e-7)
    close((dx * (x - x.mean(axes, keepdims=True))).sum(axes), 0, 1e-7)


@given(x=images(), seed=SEEDS)
def test_evaluating_with_the_batchs_own_statistics_is_training(x, seed):
    if x[:, 0].size < 2:
        return
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    close(F.batch_norm(*tensors(x, mean, var)), F.batch_norm(minicnn.tensor(x), None, None, training=True), 1e-7)


@given(drawn=DRAWS["group_norm"])
def test_group_norm_sees_one_image_at_a_time(drawn):
    (x, weight, bias), options = drawn
    whole = F.group_norm(minicnn.tensor(x), options["groups"], *tensors(weight, bias))
    for i in range(len(x)):
        close(F.group_norm(minicnn.tensor(x[i : i + 1]), options["groups"], *tensors(weight, bias)), whole[i : i + 1])


# --- softmax and losses ---------------------------------------------------------------------------------------------


@given(x=arrays(shapes(min_dims=2, max_dims=2)), shift=st.floats(-1e3, 1e3))
def test_softmax_ignores_a_shift_and_sums_to_one(x, shift):
    soft = F.softmax(minicnn.tensor(x), 1)
    close(F.softmax(minicnn.tensor(x) + shift, 1), soft)
    close(soft.sum(1), np.ones(len(x)))
    close(F.log_softmax(minicnn.tensor(x), 1).exp(), soft)


@given(drawn=DRAWS["cross_entropy"])
def test_the_gradient_of_cross_entropy_sums_to_zero(drawn):
    """A shift of all logits changes nothing, so no gradient points that way."""
    (logits, target), options = drawn
    options["reduction"] = "sum"
    given_options = {k: minicnn.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    (gradient,) = pull_back(
        lambda t: F.cross_entropy(t, minicnn.tensor(target), **given_options), np.array(1.0), logits
    )
    close(gradient.sum(1), 0)


@given(seed=SEEDS, classes=st.integers(2, 6))
def test_cross_entropy_of_equal_logits_is_log_c(seed, classes):
    labels = np.random.default_rng(seed).integers(0, classes, 5)
    for smoothing in (0.0, 0.4, 1.0):
        loss = F.cross_entropy(minicnn.zeros(5, classes), minicnn.tensor(labels), label_smoothing=smoothing)
        assert loss.item() == pytest.approx(np.log(classes), rel=1e-6)


@given(x=arrays(), seed=SEEDS)
def test_sigmoid_is_a_softmax_of_two(x, seed):
    two = minicnn.stack([minicnn.tensor(x), minicnn.zeros(*x.shape, dtype=minicnn.float64)])
    close(minicnn.tensor(x).sigmoid(), F.softmax(two, 0)[0])
    close(minicnn.tensor(x).tanh(), 2 * (2 * minicnn.tensor(x)).sigmoid() - 1)
    close(F.silu(minicnn.tensor(x)), minicnn.tensor(x) * minicnn.tensor(x).sigmoid())


# --- shapes ---------------------------------------------------------------------------------------------------------


@given(drawn=DRAWS["cat"], seed=SEEDS)
def test_cat_then_split_is_the_identity(drawn, seed):
    """In value; and the gradient comes back in the same pieces."""
    parts, options = drawn
    dim = options["dim"]
    lengths = [part.shape[dim] for part in parts]
    joined = minicnn.cat(tensors(*parts), dim)
    for piece, part in zip(minicnn.split(joined, lengths, dim), parts, strict=True):
        np.testing.assert_array_equal(piece.numpy(), part)
    cotangents = [normal(part.shape, seed + i) for i, part in enumerate(parts)]
    gradients = pull_back(lambda *t: minicnn.cat(t, dim), np.concatenate(cotangents, dim), *parts)
    for gradient, cotangent in zip(gradients, cotangents, strict=True):
        np.testing.assert_array_equal(gradient, cotangent)


@given(drawn=DRAWS["permute"])
def test_permuting_back(drawn):
    (x,), options = drawn
    order = [axis % x.ndim for axis in options["args"]]
    back = np.argsort(order).tolist()
    np.testing.assert_array_equal(minicnn.tensor(x).permute(*order).permute(*back).numpy(), x)
    np.testing.assert_array_equal(
        minicnn.tensor(x).permute(*order).reshape(-1).reshape([x.shape[a] for a in order]).permute(*back).numpy(), x
    )


@pytest.mark.parametrize(
    "name",
    ["pad", "pad modes", "integer arrays", "gather", "expand", "repeat", "flip", "slices and integers", "cat", "stack"],
)
@given(data=st.data(), seed=SEEDS)
def test_what_only_moves_numbers_has_its_adjoint_as_gradient(name, data, seed):
    """These are linear maps M (padding with 0): <M x, y> = <x, M' y>."""
    case = next(case for case in SHAPES if case.name == name)
    inputs, options = data.draw(case.draw)
    options = options | ({"value": 0.0} if "value" in options else {})
    y = case.run(minicnn, *tensors(*inputs), **options).numpy()
    cotangent = random_cotangent(y.shape, seed)
    gradients = pull_back(lambda *t: case.run(minicnn, *t, **options), cotangent, *inputs)
    close((y * cotangent).sum(), sum((x * g).sum() for x, g in zip(inputs, gradients, strict=True)))


@given(drawn=DRAWS["matmul"], seed=SEEDS)
def test_the_gradients_of_a_product_are_its_adjoints(drawn, seed):
    (a, b), _ = drawn
    c = (minicnn.tensor(a) @ minicnn.tensor(b)).numpy()
    cotangent = random_cotangent(c.shape, seed)
    da, db = pull_back(lambda x, y: x @ y, cotangent, a, b)
    close((c * cotangent).sum(), (a * da).sum())
    close((c * cotangent).sum(), (b * db).sum())


# --- residual blocks --------------------------------------------------------------------------------------------------


@given(x=images(max_length=4), seed=SEEDS)
def test_a_residual_block_passes_the_cotangent_on_and_adds_the_branchs(x, seed):
    """d(x + F(x)) = dy + F'(x)^T dy: the identity carries the gradient past any branch (lecture line L2.2.4)."""
    w = minicnn.tensor(normal((x.shape[1], x.shape[1], 3, 3), seed))

    def branch(t):
        return F.conv2d(F.relu(F.conv2d(t, w, padding=1)), w, padding=1)

    cotangent = random_cotangent(x.shape, seed + 1)
    (with_shortcut,) = pull_back(lambda t: t + branch(t), cotangent, x)
    (of_branch,) = pull_back(branch, cotangent, x)
    close(with_shortcut, cotangent + of_branch)


@given(seed=SEEDS, depth=st.integers(1, 30))
def test_through_residual_blocks_of_zero_weight_the_gradient_is_untouched(seed, depth):
    w = minicnn.zeros(2, 2, 3, 3, dtype=minicnn.float64)

    def network(t):
        for _ in range(depth):
            t = t + F.relu(F.conv2d(t, w, padding=1))
        return t

    cotangent = random_cotangent((1, 2, 3, 3), seed)
    (gradient,) = pull_back(network, cotangent, normal((1, 2, 3, 3), seed + 1))
    np.testing.assert_array_equal(gradient, cotangent)


# --- the tape ---------------------------------------------------------------------------------------------------------


@given(x=arrays(), seed=SEEDS, a=NUMBERS, b=NUMBERS)
def test_backward_is_linear_in_the_cotangent(x, seed, a, b):
    def fn(t):
        return (t.sigmoid() * t).exp() + t.sum()

    first, second = random_cotangent(x.shape, seed), random_cotangent(x.shape, seed + 1)
    combined, one, two = (pull_back(fn, c, x)[0] for c in (a * first + b * second, first, second))
    close(combined, a * one + b * two)


@given(x=arrays(), seed=SEEDS)
def test_the_product_rule_and_the_quotient_rule(x, seed):
    cotangent = random_cotangent(x.shape, seed)
    f, g = (lambda t: t.exp()), (lambda t: t.sigmoid() + 1)
    (product,) = pull_back(lambda t: f(t) * g(t), cotangent, x)
    (by_rule,) = pull_back(lambda t: f(t) * g(t).detach() + f(t).detach() * g(t), cotangent, x)
    close(product, by_rule)
    (quotient,) = pull_back(lambda t: f(t) / g(t), cotangent, x)
    (df,), (dg,) = pull_back(f, cotangent, x), pull_back(g, cotangent, x)
    fx, gx = (h(minicnn.tensor(x)).numpy() for h in (f, g))
    close(quotient, (df * gx - fx * dg) / gx**2)


@given(shape=shapes(min_dims=1), seed=SEEDS)
def test_exp_and_log_and_powers_undo_each_other(shape, seed):
    x = distinct(shape, seed, 0.2, 3.0)
    for there_and_back in (
        lambda t: t.exp().log(),
        lambda t: t.log().exp(),
        lambda t: t.sqrt() ** 2,
        lambda t: (t**3) ** (1 / 3),
    ):
        close(there_and_back(minicnn.tensor(x)), x)
        close(pull_back(there_and_back, random_cotangent(shape, seed), x)[0], random_cotangent(shape, seed))
