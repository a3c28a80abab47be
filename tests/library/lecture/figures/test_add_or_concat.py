"""The figure ``add-or-concat``: a small run, and what holds in any run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.lecture.figures import add_or_concat
from minicnn.tensors import Tensor
from tests.library.support.figure_checks import run


@pytest.mark.slow
def test_add_or_concat(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(add_or_concat, "QUICK", add_or_concat.Size(epochs=1, images=10, depths=(1, 2)))
    data = run(add_or_concat, tmp_path)
    assert data.reuse.shape == (3, 7, 7)
    below = np.tril(np.ones((7, 7), bool), -1)  # a layer reads no source from behind it
    assert (np.isnan(data.reuse) == below).all() and (data.reuse[:, ~below] > 0).all()
    assert data.depths.tolist() == [1, 2] and (np.diff(data.memory, axis=1) > 0).all()
    minicnn.manual_seed(0)
    dense = add_or_concat.SmallDenseNet()
    assert data.parameters[1] == sum(parameter.numel() for parameter in dense.parameters()) == 175_690


def test_reuse_is_the_mean_absolute_weight_by_reader_and_source() -> None:
    net = add_or_concat.SmallDenseNet()
    after = [net.transitions[0].conv, net.transitions[1].conv, net.fc]
    for number, (block, last) in enumerate(zip(net.blocks, after, strict=True)):
        first = (24, 48, 60)[number]  # channels of the block's input, then twelve from each layer
        for reader, module in enumerate([*(layer.conv1 for layer in block.values()), last]):
            values = [100 * number + 10 * reader] * first
            for source in range(1, reader + 1):
                values += [100 * number + 10 * reader + source] * 12
            weight = np.broadcast_to(np.reshape(values, (1, -1) + (1,) * (module.weight.ndim - 2)), module.weight.shape)
            signs = np.where(np.arange(len(weight)) % 2, -1, 1).reshape(-1, *(1,) * (weight.ndim - 1))
            module.weight.data = minicnn.tensor((weight * signs).astype(np.float32))
    reuse = add_or_concat.feature_reuse(net)
    block, source, reader = np.indices(reuse.shape)
    expected = np.where(source <= reader, 100 * block + 10 * reader + source, np.nan)
    np.testing.assert_allclose(reuse, expected, rtol=1e-6)


def test_the_lesion_leaves_each_layer_its_newest_source_and_restores_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    net = add_or_concat.SmallDenseNet()
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    read = []

    def look(net: nn.Module, images: Tensor, labels: Tensor) -> float:
        read.extend(int((np.abs(layer.conv1.weight.detach().numpy()).sum(axis=(0, 2, 3)) > 0).sum())
                    for block in net.blocks for layer in block.values())  # fmt: skip
        return 12.5

    monkeypatch.setattr(add_or_concat, "error_rate", look)
    assert add_or_concat.error_without_reuse(net, minicnn.zeros(1), minicnn.zeros(1)) == 12.5
    assert read == [24, *[12] * 5, 48, *[12] * 5, 60, *[12] * 5]
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_concatenations_are_kept_unless_they_are_made_again() -> None:
    shallow, deep = (
        [add_or_concat.training_memory(kind, depth, 2) for kind in add_or_concat.STAGES] for depth in (2, 8)
    )
    # What one image's concatenations take in a dense block of 8 layers, in KiB: 24, 36, ... 120 channels of 8 x 8.
    kept = sum(range(24, 121, 12)) * 64 * 4 / 1024
    assert deep[1] > kept and deep[1] > deep[2] + kept / 2
    assert deep[1] / shallow[1] > deep[2] / shallow[2]


def test_growth_is_the_power_of_depth() -> None:
    depths = np.array([4, 8, 32])
    memory = np.stack([5.0 * depths, 3.0 * depths**2, 7.0 * depths**0])
    data = add_or_concat.AddOrConcat(np.ones((3, 7, 7)), np.ones(2), np.array([1.0, 2.0]), 50.0, depths, memory)
    np.testing.assert_allclose(add_or_concat.growth(data), [2, 4, 1])
    assert add_or_concat.verdict(data) == (
        "trained dense layers give older sources 1.00 times the weight of the newest (1 before training); without the "
        "older ones the test error went from 2.0 to 50.0 %; twice as deep a stage takes 2.0 times the memory when it "
        "adds, 4.0 when it concatenates, 1.0 when it concatenates again in backward"
    )
