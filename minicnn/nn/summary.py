"""What a network costs, layer by layer: shapes, parameters, multiply-adds, memory, receptive field.

The conventions, because counts can be compared only if their conventions are known:

- *Multiply-adds* (MACs): one per weight and output to which it contributes, in convolutions and matrix products,
  for one image. Biases, norms, activations and pooling are not counted. One multiply-add is two FLOPs.
- *Activation memory*: the bytes of every layer's output for one image in float32: what training has to keep, except
  for layers whose gradient needs less.
- *Receptive field*: the side of the square of input pixels on which one output pixel can depend at most through
  windows; it may be larger than the image. *Stride*: input pixels between neighbouring output pixels.
- Of modules that do not run in evaluation (GoogLeNet's auxiliary classifiers) only the parameters are counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .. import backend
from ..autograd import Node, enable_grad, no_grad, topological_order
from ..backend.base import Pair, Window
from ..backend.shapes import ShapesBackend, shape_array
from ..notebook import summary_html
from ..tensors import Tensor
from ..terminal import fill, table
from .module import Module

FLOAT32_BYTES = 4


@dataclass
class Row:
    """One call of one layer. ``multiply_adds`` and ``parameters`` are the layer's own, not those of layers inside."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    activation_bytes: int
    receptive_field: Pair | None = None
    stride: Pair | None = None
    node: Node | None = field(default=None, repr=False)

    def numbers(self) -> tuple[str, ...]:
        """What the table has in the columns behind the name."""
        return (
            "x".join(map(str, self.output_shape[1:])),
            f"{self.parameters:,}" if self.parameters else "",
            f"{self.multiply_adds:,}" if self.multiply_adds else "",
            _bytes(self.activation_bytes),
            _square(self.receptive_field),
            _square(self.stride),
        )


@dataclass
class Summary:
    """The table of a network; ``print`` it, or read ``rows`` and the totals."""

    model: str
    input_shape: tuple[int, ...]
    rows: list[Row]
    parameters: int
    idle_parameters: int
    trainable_parameters: int
    columns: ClassVar[tuple[str, ...]] = ("output", "parameters", "mult-adds", "memory", "field", "stride")
    _repr_html_ = summary_html

    @property
    def multiply_adds(self) -> int:
        """The multiply-adds of the whole network for one image."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """The bytes of all layers' outputs for one image."""
        return sum(row.activation_bytes for row in self.rows)

    def within(self, name: str) -> list[Row]:
        """The rows of the module called ``name`` and of everything below it."""
        return [row for row in self.rows if row.name == name or row.name.startswith(f"{name}.")]

    def __str__(self) -> str:
        cells: list[tuple[str, ...] | str] = [("layer", *self.columns)]
        above = ""
        for row in self.rows:
            parent, _, own = row.name.rpartition(".")
            if parent != above and parent:
                cells.append(parent)
            above = parent
            name = own or f"({self.model})"
            cells.append((f"{'  ' * bool(parent)}{name} {row.kind}", *row.numbers()))
        lines = table(cells, "<<>>>>>")
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:], rule, *map(fill, self.totals())])

    def totals(self) -> list[str]:
        """What the whole network costs, as lines of text."""
        idle = f" ({self.idle_parameters:,} of them not used in evaluation)" if self.idle_parameters else ""
        frozen = self.parameters - self.trainable_parameters
        return [
            f"{self.model} on {'x'.join(map(str, self.input_shape))}",
            f"parameters         {self.parameters:,}{idle}" + (f" ({frozen:,} frozen)" if frozen else ""),
            f"multiply-adds      {self.multiply_adds:,} (convolutions and matrix products, one image; 2 FLOPs each)",
            f"activation memory  {_bytes(self.activation_bytes)} (all layers' outputs, one image, float32)",
            f"parameter memory   {_bytes(self.parameters * FLOAT32_BYTES)} (float32)",
        ]


def summary(model: Module, input_shape: tuple[int, ...] = (3, 224, 224)) -> Summary:
    """What ``model`` costs on one image of ``input_shape`` (C, H, W), layer by layer.

    The model runs once, in evaluation mode, on a backend that only computes shapes: this takes no memory and little
    time, and does not change the model. A layer that is called twice has two rows; its parameters count in the first.

    Raises:
        ShapeError: if the model does not take such an input.
    """
    counter = backend.load("shapes")
    assert isinstance(counter, ShapesBackend)
    image = Tensor.wrap(shape_array((1, *input_shape)))
    image.requires_grad = True  # the tape then knows which layers lie between the input and each output
    recorder = _Recorder(counter, model)
    with evaluating(model), recorder.attached(), backend.use("shapes"), enable_grad():
        model(image)
    follow_windows(recorder.rows)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    used = sum(row.parameters for row in recorder.rows)
    return Summary(type(model).__name__, tuple(input_shape), recorder.rows, total, total - used, trainable)


class _Recorder:
    """Hooks on every module that record its output and its cost, without the cost of the modules inside it."""

    def __init__(self, counter: ShapesBackend, model: Module) -> None:
        self.counter, self.model = counter, model
        self.rows: list[Row] = []
        self._seen: set[int] = set()
        self._open: list[list[int]] = []  # for each running module: count at entry, count of the modules inside

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Attach the hooks; remove them at the end of the block."""
        handles = []
        try:
            for name, module in self.model.named_modules():
                handles.append(module.register_forward_pre_hook(lambda *_: self._enter()))
                handles.append(module.register_forward_hook(self._leaver(name)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self) -> None:
        self._open.append([self.counter.multiply_adds, 0])

    def _leaver(self, name: str) -> Any:
        def leave(module: Module, _: Any, output: Any) -> None:
            before, inside = self._open.pop()
            spent = self.counter.multiply_adds - before
            if self._open:
                self._open[-1][1] += spent
            own = [p for p in module.parameters(recurse=False) if id(p) not in self._seen]
            self._seen.update(map(id, own))
            is_layer = not any(True for _ in module.children())
            if is_layer or own or spent > inside:
                self._note(name, module, output, sum(p.numel() for p in own), spent - inside, is_layer)

        return leave

    def _note(self, name: str, module: Module, output: Any, parameters: int, spent: int, is_layer: bool) -> None:
        first = output if isinstance(output, Tensor) else next((o for o in output if isinstance(o, Tensor)), None)
        if first is None:
            return
        memory = first.numel() * FLOAT32_BYTES if is_layer else 0  # a container's output is its last layer's
        self.rows.append(Row(name, type(module).__name__, first.shape, parameters, spent, memory, node=first.grad_fn))


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards every module has its old mode again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def multiply_adds(model: Module, input_shape: tuple[int, ...] = (3, 224, 224)) -> int:
    """``summary(model, input_shape).multiply_adds`` in half the time, if the rows are not needed."""
    counter = backend.load("shapes")
    assert isinstance(counter, ShapesBackend)
    before = counter.multiply_adds
    with evaluating(model), backend.use("shapes"), no_grad():
        model(Tensor.wrap(shape_array((1, *input_shape))))
    return counter.multiply_adds - before


def follow_windows(rows: list[Row]) -> None:
    """Fill in each row's receptive field and stride, by a walk along the tape, from the input on.

    A window of extent e with stride s on a field f with stride j sees f + (e - 1) j pixels, at stride j s.

    Nothing else widens a field. Through a gate (squeeze and excitation) or other global pooling a unit depends on the
    whole image, which is not counted. Adaptive pooling, to more than 1x1 too, keeps the field and stride of its input.
    """
    roots = [row.node for row in rows if row.node is not None]
    seen: dict[Node, tuple[Pair, Pair]] = {}
    for node in reversed(topological_order(roots)):
        below = [seen[edge[0]] for edge in node.edges if edge is not None and edge[0] in seen]
        if not node.edges and node.leaf.ndim == 4 and isinstance(node.leaf.array, type(shape_array(()))):  # type: ignore[attr-defined]
            seen[node] = (1, 1), (1, 1)
        elif below:
            window = getattr(node, "window", None)
            if window is not None:  # slides over the first input; a deformable convolution's offsets lie on its output
                below[0] = _slide(window, *below[0])
            fields, strides = zip(*below, strict=True)
            size = (max(f[0] for f in fields), max(f[1] for f in fields))
            seen[node] = size, (max(s[0] for s in strides), max(s[1] for s in strides))
    for row in rows:
        if row.node in seen and len(row.output_shape) == 4 and row.output_shape[2:] != (1, 1):
            row.receptive_field, row.stride = seen[row.node]
        row.node = None


def _slide(window: Window, size: Pair, jump: Pair) -> tuple[Pair, Pair]:
    """Receptive field and stride after a window, from those before it."""
    rows, columns = (size[axis] + (window.extent(axis) - 1) * jump[axis] for axis in (0, 1))
    return (rows, columns), (jump[0] * window.stride[0], jump[1] * window.stride[1])


def _square(pair: Pair | None) -> str:
    return "" if pair is None else str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}x{pair[1]}"


def _bytes(count: int) -> str:
    if not count:
        return ""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.{1 if count < 100 * size else 0}f} {unit}"
    return f"{count} B"
