"""Losses as modules: PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import nn
from tests.library.support import peers
from tests.library.support.modules import numbers


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CrossEntropyLoss", {}),
        ("CrossEntropyLoss", {"weight": [0.5, 1.0, 2.0, 1.5], "ignore_index": 2}),
        ("CrossEntropyLoss", {"label_smoothing": 0.1, "ignore_index": 1}),
        ("CrossEntropyLoss", {"label_smoothing": 0.2, "weight": [0.5, 1.0, 2.0, 1.5]}),
        ("NLLLoss", {}),
        ("NLLLoss", {"weight": [0.5, 1.0, 2.0, 1.5], "ignore_index": 0}),
        ("MSELoss", {}),
        ("L1Loss", {}),
    ],
)
def test_losses_equal_pytorch(name, options, reduction):
    torch = peers.torch()
    x = numbers((6, 4))
    target = np.array([0, 1, 2, 3, 1, 0]) if name in ("CrossEntropyLoss", "NLLLoss") else numbers((6, 4))[::-1]
    results = []
    for library, wrap in ((nn, minicnn.tensor), (torch.nn, torch.tensor)):
        kept = {k: wrap(np.array(v)) if k == "weight" else v for k, v in options.items()}
        loss = getattr(library, name)(reduction=reduction, **kept)
        assert list(loss.state_dict()) == (["weight"] if "weight" in options else [])
        tensor = wrap(x)
        tensor.requires_grad_()
        value = loss(tensor, wrap(target.copy()))
        (value * 3).sum().backward()
        results.append((value.detach().numpy(), tensor.grad.numpy()))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-10)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-9, atol=1e-12)
