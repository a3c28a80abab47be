"""Random deformable convolutions, and their values and gradients on each backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import minicnn
from minicnn import Tensor, backend
from minicnn.backend.base import Window
from minicnn.backend.reference.deformable import deform_conv2d_loops
from minicnn.nn import functional as F
from tests.library.support.strategies import SEEDS

BACKENDS = ("reference", "cpu")


@st.composite
def deformations(draw: Any, dtype: str = "float64", offsets: str = "between") -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and options of a valid call. ``offsets``: between grid lines, on them, or zero."""
    rng = np.random.default_rng(draw(SEEDS))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 1)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    groups, offset_groups = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 2]))
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [max(e - 2 * p, 1) + draw(st.integers(0, 3)) for e, p in zip(extent, padding, strict=True)]
    window = Window(kernel, stride, tuple((p, p) for p in padding), dilation)
    n, out = draw(st.integers(1, 2)), window.output_size(tuple(size))
    taps = kernel[0] * kernel[1]
    whole = rng.integers(-2, 3, (n, 2 * offset_groups * taps, *out))
    fraction = {"between": rng.uniform(0.1, 0.9, whole.shape), "on": 0.0, "zero": 0.0}[offsets]
    given_arrays = {
        "input": rng.standard_normal((n, 4, *size)),
        "offset": (whole + fraction) * (offsets != "zero"),
        "weight": rng.standard_normal((2 * groups, 4 // groups, *kernel)),
        "bias": rng.standard_normal(2 * groups) if draw(st.booleans()) else None,
        "mask": rng.uniform(0.2, 1, (n, offset_groups * taps, *out)) if draw(st.booleans()) else None,
    }
    given_arrays = {name: None if a is None else a.astype(dtype) for name, a in given_arrays.items()}
    return given_arrays, {"stride": stride, "padding": padding, "dilation": dilation}


def run(arrays: dict[str, Any], options: dict[str, Any], name: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Value and all gradients for a fixed cotangent, on the backend ``name``."""
    with backend.use(name):
        tensors = {k: None if a is None else minicnn.tensor(a, requires_grad=True) for k, a in arrays.items()}
        y = F.deform_conv2d(**tensors, **options)
        y.backward(Tensor(np.cos(np.arange(y.numel())).reshape(y.shape).astype(y.dtype)))
    return y.detach().numpy(), {k: t.grad.numpy() for k, t in tensors.items() if t is not None}


def loops(arrays: dict[str, Any], options: dict[str, Any]) -> np.ndarray:
    padding = tuple((p, p) for p in options["padding"])
    window = Window(arrays["weight"].shape[2:], options["stride"], padding, options["dilation"])
    groups = arrays["input"].shape[1] // arrays["weight"].shape[1]
    offset_groups = arrays["offset"].shape[1] // (2 * window.kernel_size[0] * window.kernel_size[1])
    y = deform_conv2d_loops(
        arrays["input"], arrays["offset"], arrays["weight"], window, arrays["mask"], groups, offset_groups
    )
    return y if arrays["bias"] is None else y + arrays["bias"][:, None, None]
