"""The figure ``attention``: a small run, and what holds in any run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.lecture.figures import attention
from minicnn.models.cifar_resnet import CifarResNet
from minicnn.models.senet import SEBasicBlock
from tests.library.support.figure_checks import run


@pytest.mark.slow
def test_attention(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(attention, "QUICK", attention.Size(seeds=1, epochs=1, images=48))
    data = run(attention, tmp_path)
    assert data.blocks.tolist() == [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in range(3)]
    assert (data.early.shape, data.middle.shape, data.late.shape) == ((10, 16), (10, 32), (10, 64))
    for values in (data.early, data.middle, data.late):
        assert ((values > 0) & (values < 1)).all()  # of a sigmoid
    assert data.spread.shape == data.explained.shape == (9, 1)
    assert data.spread[8, 0] == pytest.approx(data.late.std(axis=0).mean(), rel=1e-5)
    assert ((data.explained >= 0) & (data.explained <= 1)).all()


def test_gates_are_those_with_which_the_network_ran() -> None:
    minicnn.manual_seed(0)
    model = CifarResNet(SEBasicBlock, 8, in_channels=1).eval()
    x = minicnn.randn(3, 1, 8, 8)
    found = attention.gates(model, x)
    assert [values.shape for values in found.values()] == [(3, 16), (3, 32), (3, 64)]
    assert list(found) == ["layer1.0.se", "layer2.0.se", "layer3.0.se"]
    seen = []
    handle = model.layer1[0].se.register_forward_hook(lambda se, args, output: seen.append((args[0], output)))
    with minicnn.no_grad():
        model(x)
    handle.remove()
    ((given, scaled),) = seen
    np.testing.assert_allclose(scaled.numpy(), given.numpy() * found["layer1.0.se"][:, :, None, None], rtol=1e-5)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_networks_own_gates_held_change_nothing_and_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "error_rate", lambda model, images, labels: model(images).detach().numpy())
    minicnn.manual_seed(0)
    model = CifarResNet(SEBasicBlock, 8, in_channels=1).eval()
    x = minicnn.randn(1, 1, 8, 8)
    own = {name: values.mean(axis=0) for name, values in attention.gates(model, x).items()}
    logits = model(x).detach().numpy()
    np.testing.assert_allclose(attention.error_with_constant_gates(model, own, x, x), logits, rtol=1e-4, atol=1e-5)
    halved = {name: values / 2 for name, values in own.items()}
    assert np.abs(attention.error_with_constant_gates(model, halved, x, x) - logits).max() > 1e-2
    np.testing.assert_array_equal(model(x).detach().numpy(), logits)  # the network is as it was


def test_the_variance_that_a_class_explains_is_that_between_classes() -> None:
    labels = np.repeat(np.arange(10), 6)
    rng = np.random.default_rng(0)
    centres, noise = rng.standard_normal((10, 4)), rng.standard_normal((60, 4))
    noise -= attention.by_class(noise, labels)[labels]
    assert attention.explained_by_class(centres[labels], labels) == pytest.approx(1)
    assert attention.explained_by_class(noise, labels) == pytest.approx(0)
    between, within = 6 * ((centres - centres.mean(axis=0)) ** 2).sum(), (noise**2).sum()
    share = attention.explained_by_class(centres[labels] + noise, labels)
    assert share == pytest.approx(between / (between + within))
    np.testing.assert_allclose(attention.by_class(centres[labels] + noise, labels), centres)
    assert attention.explained_by_class(np.full((60, 4), 0.3, np.float32), labels) == 0  # nothing varies
    nearly_constant = (0.5 + 1e-6 * (centres[labels] + noise)).astype(np.float32)  # as the gates are before training
    assert attention.explained_by_class(nearly_constant, labels) == pytest.approx(share, abs=0.01)
