"""Run every kernel once in awkward configurations; ``test_kernels`` starts this under the address sanitizer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.backend.base import Window
from minicnn.backend.reference.fused import Given, Line
from minicnn.ops.normalization import Running
from tests.library.support.cuda import fakecupy
from tests.library.support.cuda.fakeraw import RawKernel
from tests.library.support.strategies import normal

WINDOWS = (
    Window((3, 3), (1, 1), ((1, 1), (1, 1))),
    Window((2, 3), (2, 1), ((0, 2), (2, 0)), (2, 1)),
    Window((1, 2), (3, 3)),
    Window((3, 3), (2, 2), ((1, 1), (1, 1))),
)


def calls(cuda: Any) -> Iterator[Any]:
    """Primitives on images and windows that do not fit each other well."""
    put = cuda.to_device
    for window in WINDOWS:
        x = put(normal((2, 4, 5, 7), 0))
        out = window.output_size((5, 7))
        for groups, weight in (
            (2, put(normal((6, 2, *window.kernel_size), 1))),
            (4, put(normal((8, 1, *window.kernel_size), 1))),
        ):
            dy = put(normal((2, weight.shape[0], *out), 2))
            yield cuda.conv2d(x, weight, window, groups)
            yield cuda.conv2d_input_grad(dy, weight, x.shape, window, groups)
            yield cuda.conv2d_weight_grad(dy, x, weight.shape, window, groups)
        taps = window.kernel_size[0] * window.kernel_size[1]
        offset, mask = put(5 * normal((2, 4 * taps, *out), 3)), put(normal((2, 2 * taps, *out), 4))
        columns = cuda.deform_im2col(x, offset, mask, window, 2)
        yield cuda.deform_im2col_grad(columns, x, offset, mask, window, 2)
        yield cuda.deform_im2col_grad(columns, x, put(np.round(cuda.to_host(offset))), None, window, 2)
        for hanging in (0, 1):
            size = (out[0] + hanging, out[1] + hanging)
            y, indices = cuda.max_pool2d(x, window, size)
            yield cuda.max_pool2d_grad(y, indices, x.shape, window)
            divisor = put(np.ones(size))
            yield cuda.avg_pool2d_grad(cuda.avg_pool2d(x, window, divisor), x.shape, window, divisor)
    tiny = Window((2, 2), (1, 1), ((1, 1), (1, 1)), (3, 3))  # steps over the image
    y, indices = cuda.max_pool2d(put(normal((1, 1, 2, 2), 0)), tiny, (1, 1))
    yield cuda.max_pool2d_grad(y, indices, (1, 1, 2, 2), tiny)
    for size in ((1, 1), (3, 2), (9, 8)):
        yield cuda.adaptive_avg_pool2d_grad(cuda.adaptive_avg_pool2d(x, size), x.shape)
    yield cuda.adaptive_avg_pool2d(put(normal((1, 2, 9, 15), 0)), (1, 2))  # a block per cell
    affine = put(normal((4,), 0))
    for activation in ("relu", "silu"):
        _, mean, _, inv_std = cuda.fused["norm"](x, affine, affine, 1e-5, x, activation)
        yield cuda.fused["norm_grad"](x, x, Line(mean, inv_std, affine, affine), x, activation)
        yield cuda.fused["norm_grad"](x, x, Line(mean, inv_std), None, activation)
        yield cuda.fused["fixed_norm_grad"](x, x, Line(mean, inv_std), None, activation)
        yield cuda.fused["fixed_norm"](x, Given(mean, inv_std, affine, None, 1e-5), x, activation)
    running = Running(put(normal((4,), 1)), put(normal((4,), 2)), x.size // 4, 0.1)
    yield cuda.batch_norm(x, affine, affine, 1e-5, running=running)
    yield cuda.batch_norm_grad(x, x, None, mean, inv_std)
    for activation in (None, "relu", "silu"):
        yield cuda.fused["conv2d"](x, weight, window, groups, put(normal((8,), 0)), None, activation=activation)
        yield cuda.fused["linear"](put(normal((3, 5), 0)), put(normal((2, 5), 1)), None, activation)
    yield cuda.fused["relu_bias_grad"](x, x)
    yield cuda.fused["channel_sums"](x)
    yield cuda.fused["relu_grad"](x, x)
    yield cuda.fused["silu_grad"](x, cuda.fused["silu"](x))
    yield cuda.fused["scale_channels_grad"](x, x, put(normal((2, 4, 1, 1), 0)))
    yield cuda.scale_and_shift(x, affine, affine)
    yield cuda.softmax_cross_entropy(put(normal((3, 5), 0)), put(np.eye(5)[:3]))
    yield cuda.dropout_mask((3, 3), 0.5, np.float64, np.random.default_rng(0))
    yield cuda.launch("random", "random_words", np.float32, 2, cuda.xp.empty((2, 4), "uint32"), 1)
    parameter, gradient = put(normal((5,), 0)), put(normal((5,), 1))
    buffers = cuda.sgd_step([parameter], [gradient], [None], lr=0.1, momentum=0.9)
    yield cuda.sgd_step([parameter], [gradient], buffers, lr=0.1, momentum=0.9, nesterov=True)
    averages = [[put(np.zeros(5))] for _ in range(3)]
    yield cuda.adam_step([parameter], [gradient], *averages, steps=[1], lr=0.1)
    yield cuda.clip([gradient, parameter], 0.1, 2.0)


if __name__ == "__main__":
    with fakecupy.installed() as backend:
        for _ in calls(backend):
            pass
    print(*RawKernel.launches)
