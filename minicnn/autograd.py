"""The tape: every operation leaves a node behind, and ``backward`` walks the nodes in reverse.

An operation is a ``Function`` with two static methods on raw arrays::

    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, cotangent):  # cotangent = d loss / d output, same shape as the output
            (x,) = ctx.saved_tensors
            return 2 * x * cotangent  # d loss / d x: one result for each argument of forward

    y = Square.apply(x)

``apply`` runs ``forward`` and, if a gradient will be wanted, keeps ``ctx`` as the node that made ``y``
(``y.grad_fn``). The node's ``edges`` lead to the nodes that made its inputs. The page ``docs/autograd.md`` walks
through one example, and through what goes wrong in another order (lecture line L1.2.1, L2.2.4).
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from . import backend, scope
from .device import CPU, device
from .errors import AnomalyError, AutogradError, DeviceError, GradientShapeError
from .grad_mode import (
    SWITCHES,
    detect_anomaly,
    enable_grad,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from .tensor import Tensor

Edge = tuple["Node", int]  # (the node that made the input, which of its outputs)

_creation = itertools.count()


class Node:
    """A point of the graph: it turns the cotangents of its outputs into cotangents along its ``edges``."""

    edges: Sequence[Edge | None] = ()
    device: Any = CPU

    def __init__(self) -> None:
        self.created = next(_creation)
        self.hooks: dict[int, dict[int, Callable]] = {}  # output index -> hooks on its gradient
        self.retain: dict[int, weakref.ref[Tensor]] = {}  # output index -> tensor that asked to keep its gradient

    def name(self) -> str:
        """The name of the operation, for messages and graphs."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The graph below this node, as PyTorch spells it."""
        return tuple(edge if edge is not None else (None, 0) for edge in self.edges)


class AccumulateGrad(Node):
    """Where the graph ends: adds what arrives to the ``.grad`` of a leaf."""

    def __init__(self, leaf: Tensor) -> None:
        super().__init__()
        self.leaf = leaf

    @property
    def device(self) -> device:
        return self.leaf._device

    def accumulate(self, gradient: Any, fresh: bool) -> None:
        """Add ``gradient`` to the leaf's; ``fresh`` says that nobody else holds the array, so it may be kept."""
        leaf = self.leaf
        if leaf._grad is not None:
            leaf._grad.array += gradient
            leaf._grad.mark_written()
        elif fresh and gradient.flags.c_contiguous:
            leaf._grad = Tensor.wrap(gradient, leaf._device)
        else:
            leaf._grad = Tensor.wrap(gradient.copy(order="C"), leaf._device)


class Function(Node):
    """One differentiable operation. Subclasses define static ``forward(ctx, ...)`` and ``backward(ctx, ...)``.

    ``forward`` gets the raw arrays of its tensor arguments, and everything else as it came; it returns an array or a
    tuple of arrays. ``backward`` gets one cotangent array per output and returns one gradient (or ``None``) per
    positional argument of ``forward``. An instance is the ``ctx`` of one call and the node it leaves on the tape:

    - ``ctx.save_for_backward(*arrays)`` and ``ctx.saved_tensors``: what backward needs. Freed after backward, and
      checked not to have been overwritten in between. Big arrays belong here and not in attributes.
    - ``ctx.needs_input_grad``: for each argument, whether its gradient is wanted.
    - ``ctx.backend``: the primitives of the device the arrays live on; ``ctx.backend.xp`` is its NumPy.
    - ``ctx.mark_non_differentiable(*arrays)``: outputs (indices, say) that carry no gradient.
    """

    backend: Any
    input_backend: Any  # another one only for a move between devices
    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self._saved: tuple[Any, ...] = ()
        self._saved_versions: tuple[tuple[Any, int] | None, ...] = ()
        self._freed = False
        self._non_differentiable: tuple[int, ...] = ()
        self.module_path = ""

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the output array(s) from the input arrays."""
        raise NotImplementedError("a Function needs a static forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        """Compute the gradient for each input from the cotangent of each output."""
        raise NotImplementedError("a Function needs a static backward(ctx, ...)")

    # ---- what forward may call -------------------------------------------------------------------------------

    def save_for_backward(self, *arrays: Any) -> None:
        """Keep ``arrays`` (or plain values, or ``None``) until backward."""
        self._saved = tuple(value.array if isinstance(value, Tensor) else value for value in arrays)

    def mark_non_differentiable(self, *arrays: Any) -> None:
        """Declare outputs that carry no gradient."""
        self._non_differentiable = tuple(id(array) for array in arrays)

    # ---- what backward may read ------------------------------------------------------------------------------

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The arrays given to ``save_for_backward``.

        Raises:
            AutogradError: if they have been freed, or overwritten since they were saved.
        """
        if self._freed:
            raise AutogradError(self._freed_message())
        for version in self._saved_versions:
            if version is not None and version[0].writes != version[1]:
                where = f" in {self.module_path}" if self.module_path else ""
                raise AutogradError(
                    f"backward of {self.name()}{where} needs an array that was overwritten in place since "
                    f"{self.name()} saved it (saved at version {version[1]}, now at version {version[0].writes}): "
                    "write the change out of place (y = y + 1), or write into a .clone()"
                )
        return self._saved

    def _freed_message(self) -> str:
        return (
            f"backward reached {self.name()} a second time, but the first backward freed the arrays it had saved: "
            "call the first one with backward(retain_graph=True)"
        )

    # ---- running it ------------------------------------------------------------------------------------------

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` on the arguments' arrays and record the call if a gradient will be wanted.

        Gradients flow to positional tensor arguments; keyword arguments are options.

        Raises:
            DeviceError: if the tensors live on different devices.
            AutogradError: if an argument is a view whose memory was written into by a recorded operation.
            AnomalyError: inside ``detect_anomaly``, at the first NaN or infinity.
        """
        ctx = cls()
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        place = _common_device(cls.__name__, tensors)
        ctx.device = place
        ctx.backend = ctx.input_backend = backend.get(place)
        ctx.needs_input_grad = tuple(isinstance(arg, Tensor) and arg._requires_grad for arg in args)
        recording = SWITCHES.grad_enabled and any(ctx.needs_input_grad)
        if SWITCHES.grad_enabled:
            for tensor in tensors:
                _check_history(cls.__name__, tensor)

        with np.errstate(all="ignore"):  # log(0) is -inf and no warning, as on a GPU
            result = cls.forward(ctx, *(arg.array if isinstance(arg, Tensor) else arg for arg in args), **kwargs)
        results = result if isinstance(result, tuple) else (result,)
        memory = {id(_owner(tensor.array)): tensor.version for tensor in tensors}
        outputs = tuple(_wrap_output(ctx.backend.xp.asanyarray(array), memory, ctx.device) for array in results)

        if SWITCHES.anomaly:
            ctx.module_path = scope.path()
            _check_finite_forward(ctx, tensors, outputs)
        if recording:
            ctx._record(args, results, outputs, memory)
        else:
            ctx._saved = ()
        return outputs if isinstance(result, tuple) else outputs[0]

    def _record(
        self, args: Sequence[Any], results: Sequence[Any], outputs: Sequence[Tensor], memory: dict[int, Any]
    ) -> None:
        self.edges = tuple(
            gradient_edge(arg) if wanted else None for arg, wanted in zip(args, self.needs_input_grad, strict=True)
        )
        self.created = next(_creation)  # after the nodes of all inputs, a leaf's among them
        self.input_specs = tuple(
            (arg.shape, arg.dtype) if wanted else None for arg, wanted in zip(args, self.needs_input_grad, strict=True)
        )
        self.output_specs = tuple((out.shape, out.dtype) for out in outputs)
        memory.update((id(_owner(out.array)), out.version) for out in outputs)
        versions = (memory.get(id(_owner(array))) if hasattr(array, "dtype") else None for array in self._saved)
        self._saved_versions = tuple(None if version is None else (version, version.writes) for version in versions)
        for index, (array, out) in enumerate(zip(results, outputs, strict=True)):
            if out.is_floating_point() and id(array) not in self._non_differentiable:
                out.grad_fn, out.output_index, out._requires_grad = self, index, True

    def release(self) -> None:
        """Free what forward saved; a second backward through this node is then an error."""
        if self._saved:
            self._saved, self._saved_versions, self._freed = (), (), True

    def run_backward(self, cotangents: list[Any]) -> tuple[Any, ...]:
        """Call ``backward`` and check what it returned against the inputs of ``forward``."""
        xp = self.backend.xp
        filled = [
            xp.zeros(shape, dtype) if cotangent is None else cotangent
            for cotangent, (shape, dtype) in zip(cotangents, self.output_specs, strict=True)
        ]
        result = type(self).backward(self, *filled)
        gradients = result if isinstance(result, tuple) else (result,)
        if len(gradients) != len(self.edges):
            raise AutogradError(
                f"backward of {self.name()} returned {len(gradients)} gradients, expected {len(self.edges)}: "
                "one for each positional argument of forward, None where there is none"
            )
        return tuple(map(self._check_gradient, gradients, self.input_specs, range(len(gradients))))

    def _check_gradient(self, gradient: Any, spec: tuple[tuple[int, ...], Any] | None, index: int) -> Any:
        if gradient is None or spec is None:
            return None
        gradient = gradient.array if isinstance(gradient, Tensor) else self.input_backend.xp.asarray(gradient)
        shape, dtype = spec
        if gradient.shape != shape:
            raise GradientShapeError(
                f"backward of {self.name()} returned a gradient of shape {gradient.shape} for argument {index}, "
                f"whose shape is {shape}",
                node=self,
                argument=index,
                gradient=gradient,
            )
        if SWITCHES.anomaly and not self.backend.xp.isfinite(gradient).all():
            where = self.module_path or "an unknown module (run the forward inside detect_anomaly too)"
            raise AnomalyError(
                f"{_first_bad(gradient)} in the gradient that backward of {self.name()} computed "
                f"for argument {index}, in {where}"
            )
        return gradient if gradient.dtype == dtype else gradient.astype(dtype)


# ---- walking the graph ---------------------------------------------------------------------------------------


def topological_order(roots: Iterable[Node]) -> list[Node]:
    """Every node that ``roots`` depend on, each one after all nodes that use its outputs.

    A node is created after the nodes that made its inputs, always: the tape is defined by running. So newest first is
    a topological order. Without one, a node could run before all of its cotangents have arrived, and pass on a
    gradient that is too small (``docs/autograd.md`` shows a case in numbers). A loop, not recursion: a chain of
    ten thousand operations is fine.
    """
    found = set(roots)
    frontier = list(found)
    while frontier:
        for edge in frontier.pop().edges:
            if edge is not None and edge[0] not in found:
                found.add(edge[0])
                frontier.append(edge[0])
    return sorted(found, key=lambda node: node.created, reverse=True)


def gradient_edge(tensor: Tensor) -> Edge:
    """Where the gradient of ``tensor`` goes: the output of the node that made it, or a leaf's accumulator."""
    if tensor.grad_fn is not None:
        return tensor.grad_fn, tensor.output_index
    node = tensor._accumulator() if tensor._accumulator is not None else None
    if node is None:
        node = AccumulateGrad(tensor)
        tensor._accumulator = weakref.ref(node)  # weak: the node holds the leaf
    return node, 0


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradient of ``tensors``, weighted by the cotangents ``grad_tensors``, to every leaf's ``.grad``.

    Raises:
        AutogradError: see ``Tensor.backward``.
    """
    wanted = None if inputs is None else _differentiable(_as_list(inputs), "inputs")
    captured = _run(_as_list(tensors), _as_list(grad_tensors), bool(retain_graph), create_graph, wanted)
    for tensor, gradient in zip(wanted or (), captured, strict=True):
        if gradient is not None:
            if tensor.grad_fn is not None:
                tensor.retain_grad()
            AccumulateGrad(tensor).accumulate(gradient, fresh=False)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``, returned and not accumulated anywhere.

    Raises:
        AutogradError: as ``Tensor.backward``; also for an input that the outputs do not depend on,
            unless ``allow_unused``, which gives ``None`` for it.
    """
    wanted = _differentiable(_as_list(inputs), "inputs")
    captured = _run(_as_list(outputs), _as_list(grad_outputs), bool(retain_graph), create_graph, wanted)
    for index, gradient in enumerate(captured):
        if gradient is None and not allow_unused:
            raise AutogradError(f"the outputs do not depend on inputs[{index}]: pass allow_unused=True to get None")
    return tuple(
        None if gradient is None else Tensor.wrap(gradient.copy(), tensor._device)
        for tensor, gradient in zip(wanted, captured, strict=True)
    )


def _run(
    roots: list[Tensor],
    cotangents: list[Any],
    retain_graph: bool,
    create_graph: bool,
    wanted: list[Tensor] | None,
) -> list[Any]:
    """Walk the graph; accumulate into the leaves, or with ``wanted`` return the gradients of those tensors."""
    if create_graph:
        raise AutogradError("create_graph=True: second derivatives are not recorded (backward runs on raw arrays)")
    for root in _differentiable(roots, "tensors"):
        _check_history("backward", root)
    seeds = _seed_cotangents(roots, cotangents)
    edges = [gradient_edge(root) for root in roots]
    order = topological_order(node for node, _ in edges)
    targets = {gradient_edge(tensor): None for tensor in wanted} if wanted is not None else None
    last: set[Node] = set()  # wanted nodes with nothing wanted below them: they are read, not run
    if targets is not None:
        order, last = _leading_to({node for node, _ in targets}, order)
    for node in order:  # before anything is accumulated
        if node not in last and getattr(node, "_freed", False):
            raise AutogradError(node._freed_message())  # type: ignore[attr-defined]

    arriving = _Arriving(order)
    for (node, index), seed in zip(edges, seeds, strict=True):
        arriving.add(node, index, seed, fresh=False)
    captured: dict[Edge, Any] = {}
    with no_grad(), np.errstate(all="ignore"):
        for node in order:
            gradients = arriving.take(node)
            if gradients is None:
                continue  # nothing that was differentiated reaches it
            changed = _run_hooks(node, gradients)
            for index, gradient in enumerate(gradients):
                if targets is not None and (node, index) in targets:
                    captured[node, index] = gradient
            if isinstance(node, AccumulateGrad):
                if targets is None:
                    node.accumulate(gradients[0], fresh=not changed and arriving.was_fresh)
            elif isinstance(node, Function) and node not in last:
                results = node.run_backward(gradients)
                shared = {id(_owner(array)) for array in (*gradients, *node._saved) if array is not None}
                for edge, gradient in zip(node.edges, results, strict=True):
                    if edge is not None and gradient is not None:
                        owner = id(_owner(gradient))
                        arriving.add(*edge, gradient, fresh=owner not in shared)
                        shared.add(owner)
                if not retain_graph:
                    node.release()
    return [captured.get(gradient_edge(tensor)) for tensor in wanted or ()]


class _Arriving:
    """The cotangents on their way: summed per node and output until the node's turn comes."""

    def __init__(self, order: Sequence[Node]) -> None:
        self._sums: dict[Node, dict[int, Any]] = {node: {} for node in order}
        self._fresh: set[Edge] = set()
        self.was_fresh = False

    def add(self, node: Node, index: int, gradient: Any, fresh: bool) -> None:
        """Add ``gradient``; one that is not ``fresh`` may be in use elsewhere and is never written into."""
        sums = self._sums.get(node)
        if sums is None:
            return  # not on the way to a wanted input
        if index not in sums:
            sums[index] = gradient
            if fresh and _is_writable(gradient):
                self._fresh.add((node, index))
        elif (node, index) in self._fresh:
            sums[index] += gradient
        else:
            sums[index] = sums[index].copy()
            sums[index] += gradient
            self._fresh.add((node, index))

    def take(self, node: Node) -> list[Any] | None:
        """The cotangents of all outputs of ``node`` (``None`` where nothing came), or ``None`` for none at all."""
        sums = self._sums.pop(node)
        self.was_fresh = (node, 0) in self._fresh
        if not sums:
            return None
        return [sums.get(index) for index in range(len(getattr(node, "output_specs", (0,))))]


def _run_hooks(node: Node, gradients: list[Any]) -> bool:
    """Run the tensor hooks of ``node``'s outputs, in place in ``gradients``; whether there were any."""
    for index, hooks in node.hooks.items():
        for hook in list(hooks.values()):
            if gradients[index] is None:
                continue
            replacement = hook(Tensor.wrap(gradients[index], node.device))
            if replacement is not None:
                if replacement.shape != gradients[index].shape:
                    raise AutogradError(
                        f"a hook on {node.name()} returned shape {replacement.shape}, expected {gradients[index].shape}"
                    )
                gradients[index] = replacement.array
    for index, reference in node.retain.items():
        tensor = reference()
        if tensor is not None and gradients[index] is not None:
            AccumulateGrad(tensor).accumulate(gradients[index], fresh=False)
    return bool(node.hooks or node.retain)


def _leading_to(targets: set[Node], order: list[Node]) -> tuple[list[Node], set[Node]]:
    """The part of ``order`` from which some target can be reached, and those targets from which no other can."""
    leading, last = set(targets), set(targets)
    for node in reversed(order):  # oldest first: a node's inputs are decided before it
        if any(edge is not None and edge[0] in leading for edge in node.edges):
            leading.add(node)
            last.discard(node)
    return [node for node in order if node in leading], last


# ---- checks and small helpers --------------------------------------------------------------------------------


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _differentiable(tensors: list[Any], what: str) -> list[Tensor]:
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{what}: expected Tensors, got {type(tensor).__name__}")
        if not tensor._requires_grad:
            raise AutogradError(
                f"{what}: a tensor of shape {tensor.shape} does not require grad, nor was it made by recorded operations"
            )
    return tensors


def _seed_cotangents(roots: list[Tensor], cotangents: list[Any]) -> list[Any]:
    if cotangents and len(cotangents) != len(roots):
        raise AutogradError(f"expected one cotangent for each of {len(roots)} tensors, got {len(cotangents)}")
    seeds = []
    for root, cotangent in itertools.zip_longest(roots, cotangents):
        if cotangent is None:
            if root.numel() != 1:
                raise AutogradError(
                    f"backward() of a tensor of shape {root.shape} needs a cotangent of that shape: "
                    "only a one-element tensor has an implicit one"
                )
            seeds.append(backend.get(root._device).xp.ones(root.shape, root.dtype))
            continue
        seed = cotangent if isinstance(cotangent, Tensor) else Tensor(cotangent, device=root._device)
        if seed.shape != root.shape:
            raise AutogradError(f"expected a cotangent of shape {root.shape}, got {seed.shape}")
        seeds.append(seed.array if seed.dtype == root.dtype else seed.array.astype(root.dtype))
    return seeds


def _owner(array: Any) -> Any:
    """The array whose memory ``array`` shows: two arrays with one owner may overlap."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


def _is_writable(array: Any) -> bool:
    """Whether each element has its own place in memory that may be written (a broadcast view has not)."""
    return getattr(array.flags, "writeable", True) and 0 not in array.strides


def _wrap_output(array: Any, memory: dict[int, Any], place: device) -> Tensor:
    out = Tensor.wrap(array, place)
    version = memory.get(id(_owner(array)))
    if version is not None:  # a view of an input: one memory, one version
        out.version = version
        out.recorded_writes = version.recorded
    return out


def _common_device(name: str, tensors: Sequence[Tensor]) -> device:
    if not tensors:
        return CPU
    place = tensors[0]._device
    for tensor in tensors:
        if tensor._device is not place and tensor._device != place:
            raise DeviceError(f"{name}: expected all tensors on one device, got {place} and {tensor._device}")
    return place


def _check_history(name: str, tensor: Tensor) -> None:
    if tensor.recorded_writes != tensor.version.recorded:
        raise AutogradError(
            f"{name} was given a tensor whose memory a recorded in-place operation has changed through another view, "
            "so its own history is out of date: take the view again after the write, or write into a .clone()"
        )


def _check_finite_forward(ctx: Function, tensors: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    isfinite = ctx.backend.xp.isfinite
    for out in outputs:
        if out.is_floating_point() and not isfinite(out.array).all():
            given = [i for i, t in enumerate(tensors) if t.is_floating_point() and not isfinite(t.array).all()]
            came_in = f" (tensor argument {given[0]} already had one)" if given else ""
            where = ctx.module_path or "no module"
            raise AnomalyError(f"{_first_bad(out.array)} in the output of {ctx.name()}, in {where}{came_in}")


def _first_bad(array: Any) -> str:
    flat = array.reshape(-1)
    position = int((~(abs(flat) < float("inf"))).argmax())
    index, rest = [], position
    for length in reversed(array.shape):
        rest, step = divmod(rest, length)
        index.append(step)
    kind = "NaN" if flat[position] != flat[position] else "infinity"
    return f"the first {kind} appeared at index {tuple(reversed(index))}"


def gradcheck(*args: Any, **kwargs: Any) -> Any:
    """Compare gradients with central differences: see ``minicnn.gradcheck.gradcheck``."""
    from .gradcheck import gradcheck as check

    return check(*args, **kwargs)


__all__ = [
    "Function",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
    "topological_order",
]
