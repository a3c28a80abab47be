"""The first call, which records, has the bits of all further ones."""

from __future__ import annotations

from typing import Any

import numpy as np

import minicnn
from minicnn import nn
from minicnn.nn import functional as F
from minicnn.ops.dropout import dropout
from tests.library.support.steps import images


class Net(nn.Module):
    def __init__(self, generator: Any = None) -> None:
        super().__init__()
        self.conv, self.norm, self.generator = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), generator

    def forward(self, x: minicnn.Tensor) -> minicnn.Tensor:
        return dropout(F.relu(self.norm(self.conv(x))), 0.3, generator=self.generator)


def bits(compiled: Any, seed: int, recorded: bool) -> list[bytes]:
    """What two steps leave behind; ``recorded``: the model is recorded anew before the second."""
    model = compiled.model
    found = []
    minicnn.manual_seed(seed)
    for step in range(2):
        if step and recorded:
            compiled = minicnn.compile(model)
        y = compiled(images((4, 3, 20, 20), seed=step))
        y.sum().backward()
        found.append(y.detach().numpy().tobytes())
        found += [tensor.numpy().tobytes() for tensor in model.buffers()]
        found += [parameter.grad.numpy().tobytes() for parameter in model.parameters()]
    return found


def test_recording_anew_changes_no_bit() -> None:
    minicnn.manual_seed(0)
    state = {name: tensor.numpy().copy() for name, tensor in Net().state_dict().items()}
    runs = []
    for recorded in (False, True):
        model = Net()
        model.load_state_dict(state)
        runs.append(bits(minicnn.compile(model), 3, recorded))
        assert model.norm.num_batches_tracked.item() == 2
    assert runs[0] == runs[1]


def test_a_generator_of_the_models_own_is_drawn_from_once() -> None:
    """Then the first call keeps what the recorded run has made."""
    generator, other = minicnn.Generator(1), minicnn.Generator(1)
    compiled, eager = minicnn.compile(Net(generator)), Net(other)
    eager.load_state_dict(compiled.model.state_dict())
    for seed in range(3):
        x = images((4, 3, 20, 20), seed=seed)
        np.testing.assert_allclose(compiled(x).detach().numpy(), eager(x).detach().numpy(), rtol=1e-4, atol=1e-5)
        assert generator.get_state() == other.get_state()
        assert compiled.model.norm.num_batches_tracked.item() == seed + 1
