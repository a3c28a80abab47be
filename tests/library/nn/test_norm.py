"""Normalisation layers: batch norm's statistics, resets, layers without a shift."""

from __future__ import annotations

import numpy as np

import minicnn
from minicnn import nn
from tests.library.support import peers
from tests.library.support.modules import IMAGE, numbers, shake


def test_batch_norm_counts_batches_and_averages_them_without_momentum():
    norm = nn.BatchNorm2d(3, momentum=None)
    batches = [numbers((4, 3, 5, 5), "float32") + shift for shift in (0, 2, 7)]
    for batch in batches:
        norm(minicnn.Tensor(batch))
    assert norm.num_batches_tracked.item() == 3
    means = np.mean([batch.mean(axis=(0, 2, 3)) for batch in batches], axis=0)
    variances = np.mean([batch.var(axis=(0, 2, 3), ddof=1) for batch in batches], axis=0)
    np.testing.assert_allclose(norm.running_mean.numpy(), means, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(norm.running_var.numpy(), variances, rtol=1e-5)


def test_batch_norm_in_evaluation_keeps_its_statistics():
    norm = nn.BatchNorm2d(3).eval()
    before = {key: tensor.numpy().copy() for key, tensor in norm.state_dict().items()}
    norm(minicnn.Tensor(numbers((4, 3, 5, 5), "float32")))
    for key, tensor in norm.state_dict().items():
        assert np.array_equal(tensor.numpy(), before[key])


def test_batch_norm_can_stop_tracking():
    torch = peers.torch()
    x = numbers((4, 3, 5, 5))
    for training in (True, False):
        ours, theirs = nn.BatchNorm2d(3).double(), torch.nn.BatchNorm2d(3).double()
        for norm, batch in ((ours, minicnn.Tensor(x)), (theirs, torch.tensor(x))):
            norm(batch)
            norm.track_running_stats = False
            norm.train(training)
        np.testing.assert_allclose(
            ours(minicnn.Tensor(x + 1)).detach().numpy(), theirs(torch.tensor(x + 1)).detach().numpy()
        )
        for key, tensor in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[key].numpy(), tensor.numpy(), err_msg=key)


def test_norm_layers_reset():
    norm = nn.BatchNorm2d(2)
    shake(norm)
    norm(minicnn.Tensor(numbers((4, 2, 3, 3), "float32")))
    norm.reset_parameters()
    assert [tensor.numpy().tolist() for tensor in norm.state_dict().values()] == [
        [1, 1],
        [0, 0],
        [0, 0],
        [1, 1],
        0,
    ]
    group = nn.GroupNorm(1, 2)
    shake(group)
    group.reset_parameters()
    assert group.weight.tolist() == [1, 1] and group.bias.tolist() == [0, 0]


def test_norm_layers_without_a_shift():
    for layer in (nn.BatchNorm2d(4, bias=False), nn.GroupNorm(2, 4, bias=False)):
        assert [name for name, _ in layer.named_parameters()] == ["weight"]
        assert "affine=True, bias=False" in repr(layer)
        layer(minicnn.Tensor(numbers(IMAGE, "float32")))
