"""The checks of the tape's arguments, and its error messages."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Any

from .. import backend
from ..devices import CPU, device
from ..errors import AutogradError, DeviceError, GradientShapeError
from ..tensors import Tensor
from .memory import Memory

# ---- errors ---------------------------------------------------------------------------------------------------------


def overwritten(node: Any, memory: Memory, version: int) -> AutogradError:
    """The error for an array that was overwritten after ``node`` had saved it at ``version``."""
    where = f" in {node.module_path}" if node.module_path else ""
    return AutogradError(
        f"backward of {node.name()}{where} needs an array that was overwritten in place since {node.name()} saved it "
        f"(saved at version {version}, now at version {memory.writes}): "
        "write the change out of place (y = y + 1), or write into a .clone()"
    )


def freed(node: Any) -> AutogradError:
    """The error for a second backward through ``node``."""
    return AutogradError(
        f"backward reached {node.name()} a second time, but the first backward freed the arrays it had saved: "
        "call the first one with backward(retain_graph=True)"
    )


def out_of_date(name: str) -> AutogradError:
    """The error for a view whose history is no longer valid, given to the operation ``name``."""
    return AutogradError(
        f"{name} was given a tensor whose memory a recorded in-place operation has changed through another view, "
        "so its own history is out of date: take the view again after the write, or write into a .clone()"
    )


def gradient_count(node: Any, got: int) -> AutogradError:
    """The error for too many or too few gradients returned by ``backward`` of ``node``."""
    return AutogradError(
        f"backward of {node.name()} returned {got} gradients, expected {len(node.edges)}: "
        "one for each positional argument of forward, None for an argument without a gradient"
    )


def gradient_shape(node: Any, argument: int, gradient: Any, shape: tuple[int, ...]) -> GradientShapeError:
    """The error for a gradient from ``backward`` of ``node`` whose shape is not its argument's."""
    return GradientShapeError(
        f"backward of {node.name()} returned a gradient of shape {gradient.shape} for argument {argument}, "
        f"whose shape is {shape}",
        node=node,
        argument=argument,
        gradient=gradient,
    )


def hook_shape(node: Any, got: tuple[int, ...], expected: tuple[int, ...]) -> AutogradError:
    """The error for a hook that replaced a gradient by one of another shape."""
    return AutogradError(f"a hook on {node.name()} returned shape {got}, expected {expected}")


def not_differentiable(what: str, tensor: Any) -> AutogradError:
    """The error for a tensor that is not on the tape, among the arguments called ``what``."""
    return AutogradError(
        f"{what}: a tensor of shape {tensor.shape} does not require grad and no recorded operation made it"
    )


def no_cotangent(shape: tuple[int, ...]) -> AutogradError:
    """The error for ``backward()`` without a cotangent, of more than one number."""
    return AutogradError(
        f"backward() of a tensor of shape {shape} needs a cotangent of that shape: "
        "only a one-element tensor has an implicit one"
    )


# ---- arguments ------------------------------------------------------------------------------------------------------


def common_device(name: str, tensors: Sequence[Tensor]) -> device:
    """The device of all ``tensors``; the CPU if there are no tensors.

    Raises:
        DeviceError: if they live on different ones.
    """
    place = tensors[0]._device if tensors else CPU
    for tensor in tensors:
        if tensor._device is not place and tensor._device != place:
            raise DeviceError(f"{name}: expected all tensors on one device, got {place} and {tensor._device}")
    return place


def check_history(name: str, tensors: Sequence[Tensor]) -> None:
    """Raise ``AutogradError`` for a view whose memory a recorded operation has changed through another view."""
    for tensor in tensors:
        if tensor.memory is not None and tensor.recorded_writes != tensor.memory.recorded:
            raise out_of_date(name)


def as_list(value: Any) -> list[Any]:
    """One value, several or ``None``, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def differentiable(tensors: list[Any], what: str) -> list[Tensor]:
    """``tensors``, if all of them are on the tape; else an error that calls them ``what``."""
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{what}: expected Tensors, got {type(tensor).__name__}")
        if not tensor._requires_grad:
            raise not_differentiable(what, tensor)
    return tensors


def seed_cotangents(roots: list[Tensor], cotangents: list[Any]) -> list[Any]:
    """The arrays that backward begins with: the cotangents given, or 1 for a root of one element."""
    if cotangents and len(cotangents) != len(roots):
        raise AutogradError(f"expected one cotangent for each of {len(roots)} tensors, got {len(cotangents)}")
    seeds = []
    for root, cotangent in itertools.zip_longest(roots, cotangents):
        if cotangent is None:
            if root.numel() != 1:
                raise no_cotangent(root.shape)
            cotangent = backend.get(root._device).xp.ones(root.shape, root.dtype)
        seed = cotangent if isinstance(cotangent, Tensor) else Tensor(cotangent, device=root._device)
        common_device("backward", [root, seed])
        if seed.shape != root.shape:
            raise AutogradError(f"expected a cotangent of shape {root.shape}, got {seed.shape}")
        seeds.append(seed.array if seed.dtype == root.dtype else seed.array.astype(root.dtype))
    return seeds


def warn_of_missing_grad(node: Any) -> None:
    """Warn that ``.grad`` is read of a non-leaf tensor, made by ``node``, that does not keep it."""
    warnings.warn(
        f"reading .grad of a non-leaf tensor (made by {node.name()}): backward() does not keep it. "
        "Call .retain_grad() before backward() if you want it.",
        stacklevel=3,
    )


def no_forward(*_: Any, **__: Any) -> Any:
    """Runs if a subclass of ``Function`` has no ``forward``."""
    raise NotImplementedError("a Function needs a static forward(ctx, ...)")


def no_backward(*_: Any) -> Any:
    """Runs if a subclass of ``Function`` has no ``backward``."""
    raise NotImplementedError("a Function needs a static backward(ctx, ...)")
