"""The nodes of an ONNX graph while they are made: every name in one place, and numbers as constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import ExportError
from .trace import Array, Batch, Shape, Step


class Builder:
    """Collects nodes and initialisers. A value of the graph is known by its name.

    Args:
        names: of the model's own tensors, by the id of each: their keys in ``state_dict()``.
        first: the name of an input whose first length is the number of images.
        opset: the version of ONNX's operators.
    """

    def __init__(self, names: dict[int, str], first: str, opset: int) -> None:
        import onnx  # the well-kept library writes the format

        self.onnx = onnx
        self.opset = opset
        self.nodes: list[Any] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.path = ""  # of the module whose operation is written now
        self.step: Step  # that operation
        self.read: set[int] = set()  # ids of the arrays that a later step reads
        self._names = names
        self._first = first
        self._known: dict[int, str] = {}  # names by the id of the array
        self._kept: list[Array] = []
        self._taken: dict[str, int] = {}
        self._constants: dict[Any, str] = {}

    def know(self, array: Array, name: str) -> None:
        """``array`` is the value called ``name``."""
        self._known[id(array)] = name
        self._kept.append(array)

    def unique(self, name: str) -> str:
        """``name``, with a number behind it if another value has it."""
        count = self._taken.get(name, 0)
        self._taken[name] = count + 1
        return name if not count else self.unique(f"{name}_{count}")

    def name(self, value: Any, dtype: Any = None) -> str:
        """The name of a value: of an ``Array``, of a name, of NumPy's or Python's numbers (which get ``dtype``)."""
        if isinstance(value, str):
            return value
        if isinstance(value, Batch):
            number = self.node("Squeeze", self.length(value))
            return number if dtype is None else self.cast(number, dtype)
        if not isinstance(value, Array):
            return self.constant(np.asarray(value, dtype))
        if id(value) not in self._known:
            tensor = value.tensor
            if tensor is None:
                raise AssertionError("a value is read before it is made")
            name = self._names.get(id(tensor))
            if name is None:
                self.know(value, self.constant(tensor.array))
            else:
                self.initializers[name] = tensor.array
                self.know(value, name)
        return self._known[id(value)]

    def constant(self, array: np.ndarray) -> str:
        """Numbers of the forward itself, such as the 6 of a ReLU6. Equal ones are kept once."""
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            self._constants[key] = name = self.unique("constant")
            self.initializers[name] = array
        return self._constants[key]

    def node(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """A new node; the name of its output, or a tuple of names for several. ``None`` is an input left out."""
        label = self.unique(f"{self.path}/{kind}" if self.path else kind)
        made = [label, *(self.unique(f"{label}.{index}") for index in range(1, outputs))]
        given = ["" if value is None else self.name(value) for value in inputs]
        while given and not given[-1]:
            given.pop()
        present = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(self.onnx.helper.make_node(kind, given, made, label, **present))
        return made[0] if outputs == 1 else tuple(made)

    def integers(self, *numbers: int) -> str:
        """A constant list of integers, as ONNX takes axes, bounds and shapes."""
        return self.constant(np.array(numbers, np.int64))

    def shape(self, shape: Shape) -> str:
        """A shape as a value of the graph; a ``Batch`` in it is read off the input."""
        if not any(isinstance(n, Batch) for n in shape):
            return self.integers(*shape)  # type: ignore[arg-type]
        return self.node("Concat", *(self.length(n) for n in shape), axis=0)

    def length(self, length: int | Batch) -> str:
        """One length, as a list of one integer."""
        if isinstance(length, int):
            return self.integers(length)
        images = self.node("Shape", self._first, start=0, end=1)
        return images if length.times == 1 else self.node("Mul", images, self.integers(length.times))

    def reshape(self, value: Any, shape: Shape) -> str:
        """``value`` under another shape, in which ONNX works out one open length by itself."""
        if sum(isinstance(n, Batch) for n in shape) > 1:
            return self.node("Reshape", value, self.shape(shape))
        lengths = self.integers(*(-1 if isinstance(n, Batch) else n for n in shape))
        return self.node("Reshape", value, lengths, allowzero=1 if 0 in shape else None)

    def cast(self, value: Any, dtype: Any) -> str:
        """``value`` in another dtype."""
        return self.node("Cast", value, to=self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def operands(self, *values: Any) -> tuple[str, ...]:
        """The names of operands; Python's numbers among them take the dtype of the arrays beside them."""
        dtype = next((value.dtype for value in values if isinstance(value, Array)), None)
        return tuple(self.name(value, dtype) for value in values)

    def require_opset(self, least: int, kind: str) -> None:
        """Raise ExportError for a version that does not have an operator."""
        if self.opset < least:
            raise ExportError(f"{kind} needs opset_version {least} or later, got {self.opset}")

    def rename(self, old: str, new: str) -> None:
        """Let the output ``old`` of a node be called ``new`` everywhere."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    if name == old:
                        names[index] = new
        for key, name in self._known.items():
            if name == old:
                self._known[key] = new
