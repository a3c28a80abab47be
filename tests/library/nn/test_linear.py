"""The fully connected layer is affine; the layers that compute nothing change nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from tests.library.support.strategies import SEEDS, arrays, normal, shapes


@given(inputs=st.integers(1, 5), outputs=st.integers(1, 5), biased=st.booleans(), share=st.floats(-2, 2), seed=SEEDS)
def test_mixed_inputs_give_mixed_outputs(inputs, outputs, biased, share, seed):
    layer = nn.Linear(inputs, outputs, bias=biased, dtype=minicnn.float64)
    a, b = normal((3, inputs), seed), normal((3, inputs), seed + 1)
    of_a, of_b, mixed = (layer(minicnn.tensor(x)).detach().numpy() for x in (a, b, share * a + (1 - share) * b))
    np.testing.assert_allclose(mixed, share * of_a + (1 - share) * of_b, atol=1e-10)
    at_zero = layer(minicnn.zeros(inputs, dtype=minicnn.float64)).detach().numpy()
    np.testing.assert_array_equal(at_zero, layer.bias.detach().numpy() if biased else np.zeros(outputs))


@given(x=arrays(shapes(min_dims=2)))
def test_flatten_and_identity_keep_all_numbers(x):
    t = minicnn.tensor(x)
    assert nn.Identity(5, whatever=True)(t) is t
    np.testing.assert_array_equal(nn.Flatten()(t).numpy(), x.reshape(len(x), -1))
