"""Optimisers on the stand-in for CuPy: the CPU's numbers, without waiting."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from tests.library.support.cuda.streams import syncs


def adamw(parameters):
    return minicnn.optim.AdamW(parameters, lr=0.01, amsgrad=True)


OPTIMIZERS = {
    "SGD": lambda p: minicnn.optim.SGD(p, lr=0.1),
    "SGD, momentum": lambda p: minicnn.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "SGD, Nesterov, up": lambda p: minicnn.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "Adam": lambda p: minicnn.optim.Adam(p, lr=0.01, weight_decay=0.01, maximize=True),
    "AdamW, AMSGrad": adamw,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_optimizers_agree_with_the_cpu_and_do_not_wait(cuda, name, dtype):
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal((3, 4)).astype(dtype), rng.standard_normal((4, 3, 4)).astype(dtype)
    found = []
    for device in ("cpu", "cuda"):
        parameter = minicnn.tensor(start, device=device, requires_grad=True)
        optimizer = OPTIMIZERS[name]([parameter])
        for gradient in gradients:
            parameter.grad = minicnn.tensor(gradient, device=device)
            with syncs.forbid():
                optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        parameter.grad = minicnn.tensor(gradients[0], device=device)
        optimizer.step()
        found.append(parameter.detach().cpu().numpy())
    assert found[1].dtype == dtype
    np.testing.assert_allclose(found[1], found[0], *((1e-5, 1e-6) if dtype == np.float32 else (1e-12, 1e-14)))


def test_a_parameter_that_is_a_strided_view_is_updated_in_place(cuda):
    whole = minicnn.zeros(3, 4, device="cuda")
    column = whole.T.detach().requires_grad_()
    column.grad = minicnn.ones(4, 3, device="cuda")
    minicnn.optim.SGD([column], lr=0.5).step()
    assert (whole.cpu().numpy() == -0.5).all()
