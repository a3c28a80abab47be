"""What is done to all parameters at once: clipping, and one vector of them all."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import nn
from tests.library.support import peers
from tests.library.support.modules import numbers, twins


def gradients_of(parameters):
    return np.concatenate([p.grad.numpy().ravel() for p in parameters])


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 1e6])
def test_clip_grad_norm_equals_pytorch(norm_type, max_norm):
    torch = peers.torch()
    x = numbers((5, 4))
    _, ours, theirs = twins(lambda nn: nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)))
    ours(minicnn.Tensor(x)).sum().backward()
    theirs(torch.tensor(x)).sum().backward()
    norm = nn.utils.clip_grad_norm_(ours.parameters(), max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), max_norm, norm_type)
    assert norm.item() == pytest.approx(expected.item())
    np.testing.assert_allclose(gradients_of(ours.parameters()), gradients_of(list(theirs.parameters())), rtol=1e-9)


def test_clip_grad_norm_without_gradients_and_with_nan():
    layer = nn.Linear(2, 2)
    assert nn.utils.clip_grad_norm_(layer.parameters(), 1.0).item() == 0
    assert nn.utils.clip_grad_norm_(layer.parameters(), 1.0, float("inf")).item() == 0
    layer.bias.grad = minicnn.Tensor(np.array([3, 4], np.float32))
    assert nn.utils.clip_grad_norm_(layer.parameters(), 10.0).item() == 5  # the Euclidean norm by default
    layer.weight.grad = minicnn.Tensor(np.array([[np.nan, 1], [1, 1]], np.float32))
    with pytest.raises(RuntimeError, match="finite gradient norm, got nan"):
        nn.utils.clip_grad_norm_(layer.parameters(), 1.0, error_if_nonfinite=True)
    assert np.isnan(nn.utils.clip_grad_norm_(layer.weight, 1.0).item())
    assert np.isnan(layer.weight.grad.numpy()).all()


def test_parameters_to_vector_and_back():
    net, other = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (13,)
    vector.sum().backward()
    assert np.all(net[1].weight.grad.numpy() == 1)
    nn.utils.vector_to_parameters(vector, other.parameters())
    for mine, copied in zip(net.parameters(), other.parameters(), strict=True):
        assert np.array_equal(mine.detach().numpy(), copied.detach().numpy())
        assert copied.is_leaf and not np.shares_memory(mine.array, copied.array)
    before = other[0].weight.array.copy()
    with pytest.raises(ValueError, match=r"vector of 13 numbers for these parameters, got \(12,\)"):
        nn.utils.vector_to_parameters(vector[1:] + 1, other.parameters())
    assert np.array_equal(other[0].weight.array, before)
