"""What the tape's errors say: what was expected, what came, and how to mend it. Each function makes one error."""

from __future__ import annotations

from typing import Any

from ..errors import AutogradError, GradientShapeError
from .memory import Memory


def overwritten(node: Any, memory: Memory, version: int) -> AutogradError:
    """An array that ``node`` saved at ``version`` has been written into since."""
    where = f" in {node.module_path}" if node.module_path else ""
    return AutogradError(
        f"backward of {node.name()}{where} needs an array that was overwritten in place since {node.name()} saved it "
        f"(saved at version {version}, now at version {memory.writes}): "
        "write the change out of place (y = y + 1), or write into a .clone()"
    )


def freed(node: Any) -> AutogradError:
    """A second backward through ``node``."""
    return AutogradError(
        f"backward reached {node.name()} a second time, but the first backward freed the arrays it had saved: "
        "call the first one with backward(retain_graph=True)"
    )


def out_of_date(name: str) -> AutogradError:
    """The operation ``name`` was given a view that has lost its history."""
    return AutogradError(
        f"{name} was given a tensor whose memory a recorded in-place operation has changed through another view, "
        "so its own history is out of date: take the view again after the write, or write into a .clone()"
    )


def gradient_count(node: Any, got: int) -> AutogradError:
    """``backward`` of ``node`` returned too many gradients or too few."""
    return AutogradError(
        f"backward of {node.name()} returned {got} gradients, expected {len(node.edges)}: "
        "one for each positional argument of forward, None where there is none"
    )


def gradient_shape(node: Any, argument: int, gradient: Any, shape: tuple[int, ...]) -> GradientShapeError:
    """``backward`` of ``node`` returned a gradient whose shape is not its argument's."""
    return GradientShapeError(
        f"backward of {node.name()} returned a gradient of shape {gradient.shape} for argument {argument}, "
        f"whose shape is {shape}",
        node=node,
        argument=argument,
        gradient=gradient,
    )


def hook_shape(node: Any, got: tuple[int, ...], expected: tuple[int, ...]) -> AutogradError:
    """A hook replaced a gradient by one of another shape."""
    return AutogradError(f"a hook on {node.name()} returned shape {got}, expected {expected}")


def not_differentiable(what: str, tensor: Any) -> AutogradError:
    """A tensor without a place on the tape among the arguments called ``what``."""
    return AutogradError(
        f"{what}: a tensor of shape {tensor.shape} does not require grad and no recorded operation made it"
    )


def no_cotangent(shape: tuple[int, ...]) -> AutogradError:
    """``backward()`` of more than one number."""
    return AutogradError(
        f"backward() of a tensor of shape {shape} needs a cotangent of that shape: "
        "only a one-element tensor has an implicit one"
    )
