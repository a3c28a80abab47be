"""What a compiled model consists of: steps, each of which computes some values from others, on raw arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.base import Window
from ..deferral import Pending
from .trace import Node, Value

Arrays = dict[Value, Any]  # of one call: what has been computed and is still wanted


class Step:
    """One step. ``args`` are values and whatever else it needs; ``outputs`` has None for what nobody wants."""

    def __init__(self, args: tuple[Any, ...], outputs: tuple[Value | None, ...]) -> None:
        self.args, self.outputs = args, outputs

    @property
    def inputs(self) -> tuple[Value, ...]:
        """The values that other steps have to compute before."""
        return tuple(arg for arg in self.args if isinstance(arg, Value) and arg.varies)

    def run(self, arrays: Arrays) -> None:
        """Compute ``outputs``, and put them into ``arrays``."""
        raise NotImplementedError


def array_of(arrays: Arrays, arg: Any) -> Any:
    """The array of a value, and anything else as it is."""
    if not isinstance(arg, Value):
        return arg
    return arrays[arg] if arg.constant is None else arg.constant


class Call(Step):
    """An operation as it is, in the backend's version where there is one.

    That is what ``Function.apply`` does, less the tape.
    """

    def __init__(self, node: Node, outputs: tuple[Value | None, ...], primitives: Any) -> None:
        super().__init__(node.args, outputs)
        self.operation, self.options, self.primitives = node.operation, node.options, primitives
        self.version: Any = node.operation
        if node.operation.accelerated:
            self.version = primitives.operations.get(node.operation.__name__, node.operation)

    def run(self, arrays: Arrays) -> None:
        ctx = self.operation()
        ctx.backend = ctx.input_backend = self.primitives
        ctx.needs_input_grad = (False,) * len(self.args)
        given = [array_of(arrays, arg) for arg in self.args]
        result = self.version.forward(ctx, *given, **self.options)
        if result is NotImplemented:
            result = self.operation.forward(ctx, *given, **self.options)
        for value, array in zip(self.outputs, result if isinstance(result, tuple) else (result,), strict=True):
            if value is not None:
                arrays[value] = array.values() if isinstance(array, Pending) else np.asanyarray(array)

    def __str__(self) -> str:
        return self.operation.__name__


class Fused(Step):
    """A step that has taken over operations which follow it: perhaps ``+ residual``, and then perhaps a ReLU."""

    name: str

    def __init__(self, x: Value, output: Value) -> None:
        super().__init__((x,), (output,))
        self.x = x
        self.residual: Value | None = None
        self.relu = False

    @property
    def output(self) -> Value:
        """The value that it computes, with everything that it has taken over."""
        output = self.outputs[0]
        assert output is not None
        return output

    def take_over(self, output: Value) -> None:
        """From now on the result is ``output``."""
        self.outputs = (output,)

    def add(self, residual: Value) -> None:
        """Add ``residual``, of the result's shape."""
        self.residual = residual
        self.args = (self.x, residual)

    def __str__(self) -> str:
        return self.name + (" + Add" if self.residual is not None else "") + (" + ReLU" if self.relu else "")


class Convolution(Fused):
    """y = relu(x * w + b + residual), with the lines ``scale y + shift`` that follow folded into w and b.

    ``key`` names the arrays and numbers that w and b depend on, which are in ``parts``.
    """

    def __init__(self, node: Node) -> None:
        x, weight, bias, window, groups = node.args
        super().__init__(x, node.outputs[0])
        self.weight: np.ndarray = weight.constant
        self.bias: np.ndarray | None = None if bias is None else bias.constant
        self.window: Window = window
        self.groups: int = groups
        self.lines: list[tuple[np.ndarray, np.ndarray]] = []
        self.parts: list[Any] = [self.weight, self.bias]
        self.key: tuple[Any, ...] = (id(self.weight), id(self.bias), window, groups)
        self.packed: Any = None

    @property
    def name(self) -> str:  # type: ignore[override]
        """With the norms that are folded into it."""
        return "Conv2d" + " + FixedNorm" * len(self.lines)

    def fold(self, norm: Node) -> None:
        """Take over a norm with given statistics."""
        self.lines.append(line_of(norm))
        for arg in norm.args[1:]:
            self.parts.append(arg)
            self.key += (id(arg.constant) if isinstance(arg, Value) else arg,)

    def filters(self) -> tuple[np.ndarray, np.ndarray | None]:
        """The weight (K, C / groups, kH, kW) and bias (K,) that do all of it, worked out in float64."""
        if not self.lines:
            return self.weight, self.bias
        weight = self.weight.astype(np.float64)
        bias = np.zeros(len(weight)) if self.bias is None else self.bias.astype(np.float64)
        for scale, shift in self.lines:
            weight *= scale[:, None, None, None]
            bias = bias * scale + shift
        return weight.astype(self.weight.dtype), bias.astype(self.weight.dtype)

    def pack(self) -> Any:
        """The filters as the backend wants them."""
        from ..backend.cpu.conv import Packed

        weight, bias = self.filters()
        return Packed(weight, self.window, self.groups, bias)

    def run(self, arrays: Arrays) -> None:
        residual = None if self.residual is None else array_of(arrays, self.residual)
        arrays[self.output] = self.packed(arrays[self.x], residual, self.relu)


class Norm(Fused):
    """y = relu(scale x + shift + residual), scale and shift (C,)."""

    name = "FixedNorm"

    def __init__(self, node: Node, primitives: Any) -> None:
        super().__init__(node.args[0], node.outputs[0])
        self.primitives = primitives
        self.scale, self.shift = (part.astype(self.x.dtype) for part in line_of(node))

    def run(self, arrays: Arrays) -> None:
        residual = None if self.residual is None else array_of(arrays, self.residual)
        arrays[self.output] = self.primitives.batch_norm_apply(
            arrays[self.x], None, self.scale, self.shift, residual, self.relu
        )


def line_of(norm: Node) -> tuple[np.ndarray, np.ndarray]:
    """The line that a norm with given statistics is: scale and shift (C,), float64."""
    _, weight, bias, mean, variance, eps = norm.args
    scale = 1 / np.sqrt(variance.constant.astype(np.float64) + eps)
    if weight is not None:
        scale = scale * weight.constant
    shift = -mean.constant * scale
    return scale, shift if bias is None else shift + bias.constant
