"""Residual blocks are found, taken apart, and put back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.lecture.analyses import blocks
from minicnn.models.resnet import BasicBlock, Bottleneck, PlainBlock, ResNet
from tests.library.support.residual_networks import small_resnet


def test_residual_blocks_are_found_in_order_and_plain_ones_are_not() -> None:
    assert list(blocks.residual_blocks(small_resnet(14))) == [f"layer{s}.{i}" for s in (1, 2, 3) for i in (0, 1)]
    assert blocks.residual_blocks(small_resnet(14, PlainBlock)) == {}
    assert len(blocks.residual_blocks(ResNet(Bottleneck, (1, 2, 1, 1)))) == 5


@pytest.mark.parametrize(("kind", "planes"), [(BasicBlock, 6), (Bottleneck, 3)])
def test_branch_and_shortcut_make_up_the_block(kind: type, planes: int) -> None:
    minicnn.manual_seed(0)
    downsample = nn.Conv2d(4, planes * kind.expansion, 1, stride=2)
    block = kind(4, planes, 2, downsample).double().eval()
    x = minicnn.tensor(np.random.default_rng(0).standard_normal((2, 4, 6, 6)))
    whole = nn.functional.relu(blocks.branch(block, x) + blocks.shortcut(block, x))
    np.testing.assert_allclose(whole.detach().numpy(), block(x).detach().numpy(), rtol=1e-12)


def test_replaced_forwards_nest_and_are_put_back() -> None:
    model = nn.Sequential(nn.ReLU())
    x = minicnn.tensor([-1.0, 2.0])
    with blocks.replaced({model[0]: lambda x: x * 2}):
        with blocks.replaced({model[0]: lambda x: x * 3}):
            assert model(x).tolist() == [-3, 6]
        assert model(x).tolist() == [-2, 4]
    with pytest.raises(RuntimeError), blocks.replaced({model[0]: lambda x: x}):
        raise RuntimeError
    assert model(x).tolist() == [0, 2]


layer = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 2))
