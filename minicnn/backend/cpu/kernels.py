"""The kernels that a compiled model may call, by name: ``compiler/rules.py`` says for what."""

from __future__ import annotations

from typing import Any

from . import conv, fused, joining, layout, matmul, pointwise, pooling

FUSED: dict[str, Any] = {
    **{
        name: getattr(module, name)
        for module, names in (
            (fused, "norm norm_grad fixed_norm fixed_norm_grad relu_bias_grad"),
            (conv, "conv2d conv2d_input_grad"),
            (matmul, "linear"),
            (pointwise, "relu relu_grad silu silu_grad add channel_sums scale_channels scale_channels_grad"),
            (pooling, "max_pool_taps max_pool_taps_grad all_see_pixels"),
            (joining, "cat_channels"),
            (layout, "empty_images"),
        )
        for name in names.split()
    },
    "pack": conv.Packed,
}
