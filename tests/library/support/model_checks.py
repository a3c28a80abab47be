"""Checks that each architecture goes through: against a peer with the same weights, against the paper's table.

    peer = calibrated(torchvision.models.resnet18(), (2, 3, 64, 64))
    model = same_weights(models.resnet18(variant="torchvision"), peer)
    assert evaluation_error(model, peer, (2, 3, 64, 64)) <= LOGITS_FLOAT32
    assert max(training_errors(model, peer, (2, 3, 64, 64)).values()) <= GRADIENTS_FLOAT64

A peer is a PyTorch module; whoever has one has PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import minicnn
from minicnn import models, nn
from minicnn.data.bundled import bundled_digits
from minicnn.nn import functional as F

LOGITS_FLOAT32 = 2e-4
GRADIENTS_FLOAT64 = 1e-6

MOMENTUM_SGD = partial(minicnn.optim.SGD, momentum=0.9)


def images(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    """Standard normal numbers, the same for the same seed."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def labels(count: int, classes: int) -> np.ndarray:
    """Different classes, spread over all of them."""
    return np.arange(count, dtype=np.int64) * 7 % classes


# ------------------------------------------------------------ against a peer


def calibrated(peer: Any, shape: tuple[int, ...], seed: int = 0, last_norm: str = "") -> Any:
    """Give a PyTorch module the norms of a trained network: random affine weights, statistics that fit them.

    A fresh norm (weight 1, bias 0, mean 0, variance 1) would hide an exchanged or forgotten one. Norms whose name
    ends in ``last_norm``, the last of a residual branch, are made small, as training leaves them: otherwise 50
    random blocks amplify rounding so much that PyTorch's own float32 and float64 differ by 3e-4.
    """
    import torch

    torch.manual_seed(seed)
    norms = {name: m for name, m in peer.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    momenta = {name: norm.momentum for name, norm in norms.items()}
    with torch.no_grad():
        for name, norm in norms.items():
            norm.weight.uniform_(0.5, 1.5)
            if last_norm and name.endswith(last_norm):
                norm.weight.mul_(0.2)
            norm.bias.normal_(0, 0.1)
            norm.momentum = None  # the plain mean over batches: one batch sets the statistics
        if norms:
            peer.train()(torch.from_numpy(images(shape, seed=seed + 1)))
    for name, norm in norms.items():
        norm.momentum = momenta[name]
    return peer


def same_weights(model: nn.Module, peer: Any) -> nn.Module:
    """Copy the peer's state, by key, and compare the keys with their order and shapes."""
    state = {key: value.numpy() for key, value in peer.state_dict().items()}
    own = {key: value.shape for key, value in model.state_dict().items()}
    assert list(own.items()) == [(key, value.shape) for key, value in state.items()]
    model.load_state_dict(state)
    return model


def drawn(build: Callable[[], Any]) -> Any:
    """What ``build`` makes of PyTorch's modules, its parameters drawn quickly, signals kept at one size (He).

    The largest of these networks have 10^8 parameters: they are copies of one block of random numbers.
    """
    import torch

    with torch.device("meta"):
        peer = build()
    peer.to_empty(device="cpu")
    pool = torch.from_numpy(images(((1 << 20) + 7,)))  # no multiple of a layer's width: rows differ
    with torch.no_grad():
        for module in peer.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.reset_parameters()
            elif hasattr(module, "weight"):
                fan_in = module.weight[0].numel()
                _tile(module.weight, pool * (2 / fan_in) ** 0.5)
                if module.bias is not None:
                    _tile(module.bias, pool * 0.1)
    return peer


def _tile(parameter: Any, pool: Any) -> None:
    flat = parameter.view(-1)
    for start in range(0, len(flat), len(pool)):
        part = flat[start : start + len(pool)]
        part.copy_(pool[: len(part)])


def from_pth(name: str, peer: Any, path: Path, **options: Any) -> nn.Module:
    """``create_model`` with the weights that PyTorch saves of ``peer``; the file, up to 0.6 GB, is removed again."""
    import torch

    torch.save(peer.state_dict(), path)
    try:
        model = models.create_model(name, weights=path, **options)
    finally:
        path.unlink()
    assert list(model.state_dict()) == list(peer.state_dict())
    return model


def evaluation_error(model: nn.Module, peer: Any, shape: tuple[int, ...]) -> float:
    """The largest difference of the logits in evaluation mode, in float32, relative to the largest logit."""
    import torch

    x = images(shape)
    with torch.no_grad():
        expected = peer.float().eval()(torch.from_numpy(x)).numpy()
    with minicnn.no_grad():
        logits = model.float().eval()(minicnn.tensor(x))
    assert logits.dtype == np.float32
    assert logits.shape == expected.shape
    return float(abs(logits.numpy() - expected).max() / abs(expected).max())


def training_errors(
    model: nn.Module, peer: Any, shape: tuple[int, ...], logits: Callable[[Any], Any] = lambda output: output
) -> dict[str, float]:
    """Forward and backward of a training step in float64: errors of loss, gradients and statistics.

    The keys are "loss", the parameters' names and the buffers' names. An error is relative to the largest entry
    of its tensor (for a gradient that is only rounding, to a millionth of the largest gradient). ``logits`` makes
    one tensor of what the networks return.
    """
    import torch

    x = images(shape, np.float64)
    model, peer = model.double().train(), peer.double().train()
    model.zero_grad(), peer.zero_grad()

    peer_logits = logits(peer(torch.from_numpy(x)))
    target = labels(shape[0], peer_logits.shape[1])
    peer_loss = torch.nn.functional.cross_entropy(peer_logits, torch.from_numpy(target))
    peer_loss.backward()
    loss = F.cross_entropy(logits(model(minicnn.tensor(x))), minicnn.tensor(target))
    loss.backward()

    gradients = {name: parameter.grad.numpy() for name, parameter in peer.named_parameters()}
    floor = 1e-6 * max(abs(gradient).max() for gradient in gradients.values())
    errors = {"loss": abs(loss.item() / peer_loss.item() - 1)}
    for name, parameter in model.named_parameters():
        expected = gradients.pop(name)
        errors[name] = abs(parameter.grad.numpy() - expected).max() / max(abs(expected).max(), floor)
    assert not gradients
    buffers = dict(model.named_buffers())
    for name, buffer in peer.named_buffers():
        expected = buffer.numpy()
        errors[name] = abs(buffers.pop(name).numpy() - expected).max() / abs(expected).max()
    assert not buffers
    return errors


# ------------------------------------------------------------ against the paper's table


@dataclass
class Walk:
    """What a forward pass met: each module's output shape by path, and multiply-adds."""

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    multiply_adds: int = 0


def walk(model: nn.Module, shape: tuple[int, ...]) -> Walk:
    """Run the model on zeros, in evaluation mode. A multiply-add is one weight at one output pixel."""
    found = Walk()

    def hook(path: str) -> Any:
        def record(module: nn.Module, args: Any, output: Any) -> None:
            found.shapes[path] = tuple(output.shape)
            if isinstance(module, nn.Conv2d):
                found.multiply_adds += output.numel() * int(np.prod(module.weight.shape[1:]))
            elif isinstance(module, nn.Linear):
                found.multiply_adds += output.numel() * module.in_features

        return record

    handles = [module.register_forward_hook(hook(path)) for path, module in model.named_modules()]
    try:
        with minicnn.no_grad():
            model.eval()(minicnn.zeros(shape))
    finally:
        for handle in handles:
            handle.remove()
    return found


def losses_on_digits(
    model: nn.Module,
    steps: int = 10,
    batch: int = 64,
    lr: float = 0.02,
    enlarged: int = 1,
    loss: Callable[[Any, Any], Any] = F.cross_entropy,
    optimizer: Callable[..., Any] = MOMENTUM_SGD,
) -> list[float]:
    """The losses of a few steps on one batch of the bundled digits, for networks with one grey channel.

    ``enlarged`` makes each of the 8 x 8 pixels a square of that side. ``loss`` takes what the network returns, and the
    targets. Networks without a norm hardly move in a few steps of SGD: for them ``optimizer`` is Adam.
    """
    images, targets = bundled_digits()
    pixels = images[:batch, None].repeat(enlarged, axis=2).repeat(enlarged, axis=3)
    x = minicnn.tensor(pixels.astype(np.float32) / 8 - 1)
    y = minicnn.tensor(targets[:batch].astype(np.int64))
    stepper = optimizer(model.train().parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        stepper.zero_grad()
        value = loss(model(x), y)
        value.backward()
        stepper.step()
        losses.append(value.item())
    return losses


def without_gradient(
    model: nn.Module, shape: tuple[int, ...], loss: Callable[[Any, Any], Any] = F.cross_entropy
) -> list[str]:
    """The parameters that a training step leaves without a gradient, or with an infinite or all-zero one."""
    output = model.train()(minicnn.tensor(images(shape)))
    logits = output[0] if isinstance(output, tuple) else output
    loss(output, minicnn.tensor(labels(shape[0], logits.shape[1]))).backward()
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not np.isfinite(parameter.grad.numpy()).all() or not parameter.grad.numpy().any()
    ]
