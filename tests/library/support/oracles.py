"""Operations written as Python loops, straight from their definitions, on NumPy arrays.

They share no code and no trick with the library: no im2col, no strides, no broadcasting of windows. They are slow
and are meant to be believed. Argument names and defaults are PyTorch's; images are (N, C, H, W).
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np

Array = np.ndarray
Pair = int | tuple[int, int]


def pair(value: Pair) -> tuple[int, int]:
    """``3`` -> ``(3, 3)``."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def matmul(a: Array, b: Array) -> Array:
    """Matrix product of two matrices, one multiplication at a time."""
    out = np.zeros((a.shape[0], b.shape[1]))
    for i, j, k in product(range(a.shape[0]), range(b.shape[1]), range(a.shape[1])):
        out[i, j] += a[i, k] * b[k, j]
    return out


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Array:
    """Cross-correlation: ``y[n, o, i, j] = b[o] + sum_cpq w[o, c, p, q] x[n, c', i s - P + p d, j s - P + q d]``."""
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    n, _, height, width = x.shape
    out_channels, group_in, kh, kw = weight.shape
    out_height = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    out_width = (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((n, out_channels, out_height, out_width))
    for b, o, i, j in product(range(n), range(out_channels), range(out_height), range(out_width)):
        group = o // (out_channels // groups)
        total = 0.0 if bias is None else bias[o]
        for c, p, q in product(range(group_in), range(kh), range(kw)):
            row, column = i * sh - ph + p * dh, j * sw - pw + q * dw
            if 0 <= row < height and 0 <= column < width:
                total += weight[o, c, p, q] * x[b, group * group_in + c, row, column]
        y[b, o, i, j] = total
    return y


def pooled_length(
    length: int, kernel: int, stride: int, padding: int, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """How many windows there are; with ``ceil_mode`` a partial one counts if it starts inside input or left padding."""
    span = length + 2 * padding - dilation * (kernel - 1) - 1
    count = (math.ceil(span / stride) if ceil_mode else span // stride) + 1
    if ceil_mode and (count - 1) * stride >= length + padding:
        count -= 1
    return count


def max_pool2d(
    x: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> tuple[Array, Array]:
    """The largest value of each window and its flat position ``row * W + column``; padding never wins.

    The first of equal values wins. NaN wins over everything, and of several the last.
    """
    (kh, kw), (ph, pw), (dh, dw) = pair(kernel_size), pair(padding), pair(dilation)
    sh, sw = pair(kernel_size if stride is None else stride)
    n, channels, height, width = x.shape
    out_height = pooled_length(height, kh, sh, ph, dh, ceil_mode)
    out_width = pooled_length(width, kw, sw, pw, dw, ceil_mode)
    y = np.zeros((n, channels, out_height, out_width))
    indices = np.zeros(y.shape, dtype=np.int64)
    for b, c, i, j in product(range(n), range(channels), range(out_height), range(out_width)):
        best, where = -math.inf, None
        for p, q in product(range(kh), range(kw)):
            row, column = i * sh - ph + p * dh, j * sw - pw + q * dw
            if not (0 <= row < height and 0 <= column < width):
                continue
            value = x[b, c, row, column]
            if where is None or value > best or math.isnan(value):
                best, where = value, row * width + column
        y[b, c, i, j], indices[b, c, i, j] = best, where
    return y, indices


def avg_pool2d(
    x: Array,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """The sum of each window over how many entries it has.

    A window reaches at most to the end of the right padding; what ``ceil_mode`` adds beyond is never counted.
    """
    (kh, kw), (ph, pw) = pair(kernel_size), pair(padding)
    sh, sw = pair(kernel_size if stride is None else stride)
    n, channels, height, width = x.shape
    out_height = pooled_length(height, kh, sh, ph, 1, ceil_mode)
    out_width = pooled_length(width, kw, sw, pw, 1, ceil_mode)
    y = np.zeros((n, channels, out_height, out_width))
    for b, c, i, j in product(range(n), range(channels), range(out_height), range(out_width)):
        total, inside, padded = 0.0, 0, 0
        for p, q in product(range(kh), range(kw)):
            row, column = i * sh - ph + p, j * sw - pw + q
            padded += row < height + ph and column < width + pw
            if 0 <= row < height and 0 <= column < width:
                total += x[b, c, row, column]
                inside += 1
        y[b, c, i, j] = total / (divisor_override or (padded if count_include_pad else inside))
    return y


def adaptive_windows(length: int, out_length: int) -> list[range]:
    """Window ``i`` of ``out_length``: from ``floor(i L / out)`` up to ``ceil((i + 1) L / out)``."""
    return [range(i * length // out_length, -(-(i + 1) * length // out_length)) for i in range(out_length)]


def adaptive_avg_pool2d(x: Array, output_size: Pair) -> Array:
    """The mean of each of ``output_size`` windows that share out the image; they overlap when they must."""
    rows, columns = (adaptive_windows(*lengths) for lengths in zip(x.shape[2:], pair(output_size), strict=True))
    y = np.zeros((*x.shape[:2], len(rows), len(columns)))
    for n, c, i, j in product(*map(range, y.shape)):
        values = [float(x[n, c, row, column]) for row in rows[i] for column in columns[j]]
        y[n, c, i, j] = math.fsum(values) / len(values)
    return y


def batch_norm(
    x: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, Array | None, Array | None]:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` channel by channel, and the new running statistics.

    The batch is normalised by its biased variance; the running variance takes the unbiased one.
    """
    y = np.zeros(x.shape)
    new_mean, new_var = (None if r is None else r.astype(float).copy() for r in (running_mean, running_var))
    for c in range(x.shape[1]):
        values = [float(v) for v in x[:, c].ravel()]
        if training or running_mean is None or running_var is None:
            mean = math.fsum(values) / len(values)
            variance = math.fsum((v - mean) ** 2 for v in values) / len(values)
            if new_mean is not None and new_var is not None:
                unbiased = variance * len(values) / (len(values) - 1)
                new_mean[c] += momentum * (mean - new_mean[c])
                new_var[c] += momentum * (unbiased - new_var[c])
        else:
            mean, variance = float(running_mean[c]), float(running_var[c])
        scale = (1.0 if weight is None else weight[c]) / math.sqrt(variance + eps)
        y[:, c] = (x[:, c] - mean) * scale + (0.0 if bias is None else bias[c])
    return y, new_mean, new_var


def group_norm(
    x: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Array:
    """Each sample's channels in ``num_groups`` groups, each normalised by its own mean and biased variance."""
    y = np.zeros(x.shape)
    size = x.shape[1] // num_groups
    for b, g in product(range(x.shape[0]), range(num_groups)):
        values = [float(v) for v in x[b, g * size : (g + 1) * size].ravel()]
        mean = math.fsum(values) / len(values)
        variance = math.fsum((v - mean) ** 2 for v in values) / len(values)
        for c in range(g * size, (g + 1) * size):
            scale = 1.0 if weight is None else weight[c]
            y[b, c] = (x[b, c] - mean) / math.sqrt(variance + eps) * scale + (0.0 if bias is None else bias[c])
    return y


def local_response_norm(x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """``x_c / (k + alpha / size * sum of x^2 over the size channels around c) ** beta``; an even window leans left."""
    y = np.zeros(x.shape)
    for c in range(x.shape[1]):
        window = range(max(0, c - size // 2), min(x.shape[1], c + (size - 1) // 2 + 1))
        squares = sum(x[:, other] ** 2 for other in window)
        y[:, c] = x[:, c] / (k + alpha * squares / size) ** beta
    return y


def log_softmax(logits: Array) -> Array:
    """``log(e^x_i / sum_j e^x_j)`` of one row."""
    top = max(float(v) for v in logits)
    total = math.fsum(math.exp(v - top) for v in logits)
    return np.array([v - top - math.log(total) for v in logits])


def cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array | float:
    """``-sum_c w_c q_c log p_c`` for each row of (N, C) logits.

    ``q`` is the class index as one-hot (or (N, C) probabilities as they are), mixed with the uniform distribution by
    ``label_smoothing``. Ignored rows are zero. The mean divides by the weights of the rows' classes, for
    probabilities by N.
    """
    rows, classes = logits.shape
    weights = np.ones(classes) if weight is None else weight
    losses, total = np.zeros(rows), 0.0
    for i in range(rows):
        if target.ndim == 1:
            if target[i] == ignore_index:
                continue
            q = np.eye(classes)[int(target[i])]
            total += weights[int(target[i])]
        else:
            q = target[i]
            total += 1.0
        q = (1 - label_smoothing) * q + label_smoothing / classes
        losses[i] = -math.fsum(float(v) for v in weights * q * log_softmax(logits[i]))
    if reduction == "none":
        return losses
    return losses.sum() / total if reduction == "mean" else losses.sum()
