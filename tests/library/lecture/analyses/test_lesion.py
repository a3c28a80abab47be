"""What a network still knows without some of its blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.lecture.analyses import blocks, lesion
from minicnn.models.resnet import PlainBlock
from tests.library.support.residual_networks import batch, few, small_resnet


def logits(model: nn.Module, images: minicnn.Tensor) -> np.ndarray:
    return model(images).detach().numpy()


def test_the_lesion_of_no_block_is_the_original() -> None:
    model, (images, _) = small_resnet(14), batch()
    whole = logits(model, images)
    with lesion.removed(model, []):
        np.testing.assert_array_equal(logits(model, images), whole)
    with lesion.reordered(
        model, lesion.random_swaps([list(blocks.residual_blocks(model))], 0, np.random.default_rng())
    ):
        np.testing.assert_array_equal(logits(model, images), whole)


@pytest.mark.parametrize("name", ["layer1.1", "layer2.0"])
def test_a_removed_block_is_one_whose_branch_is_zero(name: str) -> None:
    model, (images, _) = small_resnet(14), batch()
    whole = logits(model, images)
    with lesion.removed(model, [name]):
        cut = logits(model, images)
    np.testing.assert_array_equal(logits(model, images), whole)
    norm = model.get_submodule(name).bn2
    nn.init.zeros_(norm.weight)
    nn.init.zeros_(norm.bias)
    np.testing.assert_array_equal(logits(model, images), cut)
    assert np.abs(cut - whole).max() > 1e-3


def test_a_removed_layer_of_a_plain_network_hands_its_input_on() -> None:
    model, (images, _) = small_resnet(14, PlainBlock), batch()
    with lesion.removed(model, ["layer1.1", "layer3.1"]):
        cut = logits(model, images)
    del model.layer1[1], model.layer3[1]
    np.testing.assert_array_equal(logits(model, images), cut)


def test_an_unknown_module_cannot_be_removed() -> None:
    model = small_resnet(8)
    with pytest.raises(AttributeError), lesion.removed(model, ["layer1.0", "layer9.0"]):
        pass
    assert "forward" not in vars(model.layer1[0])


def test_reordering_moves_the_blocks() -> None:
    model, (images, _) = small_resnet(20), batch()
    with lesion.reordered(model, {"layer1.0": "layer1.2", "layer1.1": "layer1.0", "layer1.2": "layer1.1"}):
        moved = logits(model, images)
    first, second, third = model.layer1
    model.layer1[0], model.layer1[1], model.layer1[2] = third, first, second
    np.testing.assert_array_equal(logits(model, images), moved)


def test_error_rate_counts_wrong_answers_in_evaluation_mode() -> None:
    class Sure(nn.Module):
        def forward(self, x: minicnn.Tensor) -> minicnn.Tensor:
            assert not self.training
            return x

    model = Sure()
    images = minicnn.tensor(np.eye(5, dtype=np.float32))
    assert lesion.error_rate(model, images, minicnn.tensor([0, 1, 2, 3, 0]), batch_size=2) == pytest.approx(20)
    assert model.training


def test_errors_without_each_is_one_error_a_name() -> None:
    model, (images, targets) = small_resnet(14), batch(10)
    names = list(blocks.residual_blocks(model))
    errors = lesion.errors_without_each(model, names, images, targets)
    for name, error in zip(names, errors, strict=True):
        with lesion.removed(model, [name]):
            assert error == lesion.error_rate(model, images, targets)


@few
@given(st.integers(0, 2**16), st.integers(0, 8))
def test_swaps_stay_within_their_group(seed: int, count: int) -> None:
    groups = [["a", "b", "c"], ["d"], ["e", "f"]]
    order = lesion.random_swaps(groups, count, np.random.default_rng(seed))
    for group in groups:
        assert sorted(order[name] for name in group) == group
    odd = sum(order[a] > order[b] for group in groups for i, a in enumerate(group) for b in group[i + 1 :]) % 2
    assert odd == count % 2


@few
@given(st.permutations(range(7)))
def test_kendall_tau_is_scipys(order: list[int]) -> None:
    kendalltau = pytest.importorskip("scipy.stats").kendalltau
    assert lesion.kendall_tau(order) == pytest.approx(kendalltau(range(7), order).statistic)
