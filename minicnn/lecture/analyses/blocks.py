"""Taking a trained network apart without changing it: its residual blocks, and other forward passes for them.

What the unravelled view (``unravel.py``) and the lesions (``lesion.py``) have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeGuard

from ... import nn
from ...models.resnet import BasicBlock, Bottleneck, PlainBlock
from ...tensors import Tensor

ResidualBlock = BasicBlock | Bottleneck


def is_residual(module: nn.Module) -> TypeGuard[ResidualBlock]:
    """Whether the module is a block with a shortcut."""
    return isinstance(module, BasicBlock | Bottleneck) and not isinstance(module, PlainBlock)


def residual_blocks(model: nn.Module) -> dict[str, ResidualBlock]:
    """The residual blocks of a network by name, from the input to the output; a plain network has none."""
    return {name: module for name, module in model.named_modules() if is_residual(module)}


def branch(block: ResidualBlock, x: Tensor) -> Tensor:
    """F(x): convolutions and norms with ReLUs between them, but none at the end. (N, C, H, W) -> (N, K, H/s, W/s)."""
    last = int(block.last_norm.removeprefix("bn"))
    for number in range(1, last + 1):
        x = getattr(block, f"bn{number}")(getattr(block, f"conv{number}")(x))
        if number < last:
            x = block.relu(x)
    return x


def shortcut(block: ResidualBlock, x: Tensor) -> Tensor:
    """x, or ``downsample(x)`` if the block changes the shape. Shapes as in ``branch``."""
    return x if block.downsample is None else block.downsample(x)


@contextmanager
def replaced(forwards: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Inside this block the modules run their new ``forwards``; afterwards they run as before."""
    before = {module: vars(module)["forward"] for module in forwards if "forward" in vars(module)}
    try:
        for module, forward in forwards.items():
            vars(module)["forward"] = forward
        yield
    finally:
        for module in forwards:
            del vars(module)["forward"]
        for module, forward in before.items():
            vars(module)["forward"] = forward
