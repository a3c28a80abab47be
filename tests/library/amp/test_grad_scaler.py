"""``GradScaler`` beside PyTorch's, step by step, and its errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from tests.library.support import peers
from tests.library.support.strategies import normal

WEIGHTS = (normal((3, 4), 0), normal((3,), 1))


class Training:
    """Two parameters, an optimiser and a scaler of ``lib``; each step gets its gradients from a loss made for them."""

    def __init__(self, lib, utils, **options):
        self.lib, self.utils = lib, utils
        self.parameters = [lib.tensor(w.astype("float32"), requires_grad=True) for w in WEIGHTS]
        self.optimizer = lib.optim.SGD(self.parameters, lr=0.1, momentum=0.9)
        self.scaler = lib.amp.GradScaler("cpu", **options)

    def step(self, seed, bad, clip):
        self.optimizer.zero_grad()
        factors = [normal(w.shape, seed).astype("float32") for w in WEIGHTS]
        factors[seed % 2].flat[0] = {"inf": np.inf, "nan": np.nan, "": factors[seed % 2].flat[0]}[bad]
        loss = sum((p * self.lib.tensor(f)).sum() for p, f in zip(self.parameters, factors, strict=True))
        self.scaler.scale(loss).backward()
        if clip:
            self.scaler.unscale_(self.optimizer)
            self.utils.clip_grad_norm_(self.parameters, 0.5)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return [p.detach().numpy().copy() for p in self.parameters], self.scaler.get_scale(), self.scaler.state_dict()


@settings(max_examples=30)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["", "", "", "inf", "nan"]), st.booleans()), max_size=8),
    options=st.fixed_dictionaries(
        {
            "init_scale": st.sampled_from([2.0**16, 1000.0, 1e38]),
            "growth_factor": st.sampled_from([2.0, 3.5]),
            "backoff_factor": st.sampled_from([0.5, 0.3]),
            "growth_interval": st.integers(1, 3),
            "enabled": st.sampled_from([True, True, True, False]),
        }
    ),
)
def test_every_step_is_pytorchs(steps, options):
    torch = peers.torch()
    ours, theirs = Training(minicnn, nn.utils, **options), Training(torch, torch.nn.utils, **options)
    for seed, (bad, clip) in enumerate(steps):
        (weights, scale, state), (their_weights, their_scale, their_state) = (
            t.step(seed, bad, clip) for t in (ours, theirs)
        )
        assert scale == their_scale and state == their_state
        for one, other in zip(weights, their_weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    if options["enabled"]:
        again = minicnn.amp.GradScaler("cpu")
        again.load_state_dict(theirs.scaler.state_dict())
        assert again.state_dict() == ours.scaler.state_dict()


def scaler_and_optimizer(lib=minicnn):
    parameter = lib.tensor([1.0, 2.0], requires_grad=True)
    scaler = lib.amp.GradScaler("cpu")
    scaler.scale((parameter * parameter).sum()).backward()
    return scaler, lib.optim.SGD([parameter], lr=0.1)


def unscaled_twice(lib):
    scaler, optimizer = scaler_and_optimizer(lib)
    scaler.unscale_(optimizer)
    scaler.unscale_(optimizer)


def unscaled_after_step(lib):
    scaler, optimizer = scaler_and_optimizer(lib)
    scaler.step(optimizer)
    scaler.unscale_(optimizer)


def two_steps(lib):
    scaler, optimizer = scaler_and_optimizer(lib)
    scaler.step(optimizer)
    scaler.step(optimizer)


def a_closure(lib):
    scaler, optimizer = scaler_and_optimizer(lib)
    scaler.step(optimizer, closure=lambda: 0)


def step_without_scale(lib):
    lib.amp.GradScaler("cpu").step(scaler_and_optimizer(lib)[1])


def step_without_gradients(lib):
    scaler, optimizer = scaler_and_optimizer(lib)
    optimizer.zero_grad()
    scaler.step(optimizer)


def update_without_step(lib):
    scaler_and_optimizer(lib)[0].update()


def short_parameters(lib):
    parameter = lib.tensor([1.0, 2.0], dtype=lib.float16, requires_grad=True)
    scaler = lib.amp.GradScaler("cpu", init_scale=2.0)
    scaler.scale((parameter * parameter).sum()).backward()
    scaler.unscale_(lib.optim.SGD([parameter], lr=0.1))


def an_empty_state(lib):
    lib.amp.GradScaler("cpu").load_state_dict({})


ERRORS = {
    unscaled_twice: (RuntimeError, "already been called on this optimizer"),
    unscaled_after_step: (RuntimeError, "after step"),
    two_steps: (RuntimeError, "already been called since"),
    a_closure: (RuntimeError, "closure"),
    step_without_scale: (AssertionError, r"scaler\.scale\(loss\)"),
    step_without_gradients: (AssertionError, "no parameter of this optimizer has a gradient"),
    update_without_step: (AssertionError, "no gradients were looked at"),
    short_parameters: (ValueError, "float16 gradients"),
    an_empty_state: (RuntimeError, "empty"),
}


@pytest.mark.parametrize("mistake", ERRORS, ids=lambda mistake: mistake.__name__)
def test_mistakes_raise_what_pytorch_raises(mistake):
    error, message = ERRORS[mistake]
    with pytest.raises(error, match=message):
        mistake(minicnn)
    with pytest.raises(error):
        mistake(peers.torch())


def test_wrong_options_are_refused():
    for option in ({"growth_factor": 1.0}, {"backoff_factor": 1.0}, {"growth_interval": 0}, {"init_scale": 0.0}):
        with pytest.raises(ValueError, match="GradScaler: expected"):
            minicnn.amp.GradScaler(**option)
    with pytest.raises(ValueError, match="scale: expected a tensor"):
        minicnn.amp.GradScaler().scale(1.0)


def test_several_losses_and_a_new_scale():
    scaler = minicnn.amp.GradScaler(init_scale=4.0)
    one, other = minicnn.tensor(1.0), minicnn.tensor(2.0)
    assert [x.item() for x in scaler.scale([one, other])] == [4.0, 8.0]
    scaler.update(8.0)
    assert scaler.get_scale() == 8.0 and scaler.is_enabled()
    assert minicnn.amp.GradScaler(enabled=False).get_scale() == 1.0
    scaler.set_growth_factor(3.0)
    scaler.set_backoff_factor(0.1)
    scaler.set_growth_interval(7)
    numbers = scaler.get_growth_factor(), scaler.get_backoff_factor(), scaler.get_growth_interval()
    assert numbers == (3.0, 0.1, 7) and math.isfinite(scaler.get_scale())


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan, 1e39])
def test_a_scale_is_a_positive_float32(scale):
    with pytest.raises(ValueError, match="init_scale > 0"):
        minicnn.amp.GradScaler(init_scale=scale)


def test_a_loss_of_16_bits_is_scaled_in_32():
    loss = minicnn.tensor(1.5, requires_grad=True).half()
    scaled = minicnn.amp.GradScaler().scale(loss)
    assert scaled.dtype == minicnn.float32 and scaled.item() == 1.5 * 2**16
