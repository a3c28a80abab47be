"""The tape, being written: every operation leaves a node behind that knows how to go back.

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
(``y.grad_fn``). The node's ``edges`` lead to the nodes that made its inputs. ``autograd.py`` walks them backwards.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import backend, scope
from .deferral import Pending, Version, owner
from .device import CPU, device
from .errors import AnomalyError, AutogradError, DeviceError, GradientShapeError
from .grad_mode import SWITCHES
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

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

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

    ``forward`` may return a ``Pending`` (``deferral.py``) in the place of an array. A Function that can take one over
    has a static ``forward_pending``, which stands in for ``forward`` and is given the first among its arguments as it
    is. ``chain`` says how to walk back together with nodes below this one. A backend may have its own version of an
    operation that is ``accelerated`` (``backend/base.py``): that computes in its place, forward and backward.
    """

    forward_pending: Any = None
    chain: Chain | None = None
    accelerated = False  # whether a backend may have a version of it that computes the same, set in ``ops``
    version: Any = None  # what computed this call: the class itself, or its backend's version
    backend: Any
    input_backend: Any  # another one only for a move between devices
    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self._saved: tuple[Any, ...] = ()
        self._saved_versions: tuple[tuple[Any, int] | None, ...] = ()
        self.freed = False
        self._non_differentiable: tuple[int, ...] = ()
        self._dirty: tuple[int, ...] = ()
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

    def mark_dirty(self, *arrays: Any) -> None:
        """Declare argument arrays that ``forward`` has written into."""
        self._dirty = tuple(id(array) for array in arrays)

    # ---- what backward may read ------------------------------------------------------------------------------

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The arrays given to ``save_for_backward``.

        Raises:
            AutogradError: if they have been freed, or overwritten since they were saved.
        """
        if self.freed:
            raise AutogradError(self.freed_message())
        for version in self._saved_versions:
            if version is not None and version[0].writes != version[1]:
                where = f" in {self.module_path}" if self.module_path else ""
                raise AutogradError(
                    f"backward of {self.name()}{where} needs an array that was overwritten in place since "
                    f"{self.name()} saved it (saved at version {version[1]}, now at version {version[0].writes}): "
                    "write the change out of place (y = y + 1), or write into a .clone()"
                )
        return self._saved

    def freed_message(self) -> str:
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
                check_history(cls.__name__, tensor)

        with np.errstate(all="ignore"):  # log(0) is -inf and no warning, as on a GPU
            version: Any = cls
            if cls.accelerated and SWITCHES.deferral:
                version = ctx.backend.operations.get(cls.__name__, cls)
            forward = version.forward
            for tensor in tensors:
                if isinstance(tensor._array, Pending):
                    if _settle(tensors, cls.forward_pending is not None):
                        version, forward = cls, cls.forward_pending
                    break
            arrays = [arg._array if isinstance(arg, Tensor) else arg for arg in args]
            result = forward(ctx, *arrays, **kwargs)
            if result is NotImplemented:
                version, result = cls, cls.forward(ctx, *arrays, **kwargs)
            ctx.version = version
            results = result if isinstance(result, tuple) else (result,)
            for tensor in tensors:
                if id(tensor._array) in ctx._dirty:
                    tensor.mark_written()
            memory = {id(owner(tensor._array)): tensor.version for tensor in tensors}
            outputs = tuple(_wrap_output(ctx.backend.xp, array, memory, ctx.device) for array in results)

        if SWITCHES.anomaly:
            ctx.module_path = scope.path()
            _check_finite_forward(ctx, tensors, outputs)
        if recording:
            ctx._record(args, results, outputs, memory)
        else:
            ctx._saved = ()
        if SWITCHES.recorder is not None:
            SWITCHES.recorder.record(ctx, args, kwargs, outputs)
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
        memory.update((id(owner(out._array)), out.version) for out in outputs)
        versions = (memory.get(id(owner(array))) if hasattr(array, "dtype") else None for array in self._saved)
        self._saved_versions = tuple(None if version is None else (version, version.writes) for version in versions)
        for index, (array, out) in enumerate(zip(results, outputs, strict=True)):
            if out.is_floating_point() and id(array) not in self._non_differentiable:
                out.grad_fn, out.output_index, out._requires_grad = self, index, True

    def release(self) -> None:
        """Free what forward saved; a second backward through this node is then an error."""
        if self._saved:
            self._saved, self._saved_versions, self.freed = (), (), True

    def run_backward(self, cotangents: list[Any]) -> tuple[Any, ...]:
        """Call ``backward`` with the cotangents of all outputs; one gradient for each input of ``forward``."""
        xp = self.backend.xp
        filled = [
            xp.broadcast_to(xp.zeros((), dtype), shape) if cotangent is None else cotangent
            for cotangent, (shape, dtype) in zip(cotangents, self.output_specs, strict=True)
        ]
        return self.checked(self.version.backward(self, *filled))

    def checked(self, result: Any) -> tuple[Any, ...]:
        """The gradients that ``backward`` returned, if they fit the inputs of ``forward``."""
        gradients = tuple(result) if isinstance(result, (tuple, list)) else (result,)
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


class Chain:
    """How to walk back through several nodes at once where nobody looks at the cotangents between them."""

    def nodes(self, last: Function) -> tuple[Function, ...]:
        """``last`` and the nodes below that are walked back with it; ``last`` alone where there are none."""
        raise NotImplementedError

    def backward(self, nodes: tuple[Function, ...], cotangent: Any) -> tuple[tuple[Any, ...], ...]:
        """For each node the gradients along its edges, ``None`` along those that lead to another of the nodes."""
        raise NotImplementedError


def gradient_edge(tensor: Tensor) -> Edge:
    """Where the gradient of ``tensor`` goes: the output of the node that made it, or a leaf's accumulator."""
    if tensor.grad_fn is not None:
        return tensor.grad_fn, tensor.output_index
    node = tensor._accumulator() if tensor._accumulator is not None else None
    if node is None:
        node = AccumulateGrad(tensor)
        tensor._accumulator = weakref.ref(node)  # weak: the node holds the leaf
    return node, 0


# ---- checks and small helpers --------------------------------------------------------------------------------


def is_writable(array: Any) -> bool:
    """Whether each element has its own place in memory that may be written (a broadcast view has not)."""
    return getattr(array.flags, "writeable", True) and 0 not in array.strides


def _settle(tensors: Sequence[Tensor], takes_pending: bool) -> bool:
    """Compute what is pending among an operation's inputs, but for the first if it takes one over; is one left?"""
    for tensor in tensors:
        if isinstance(tensor._array, Pending):
            if not takes_pending:
                tensor.read()
            takes_pending = False
    return any(isinstance(tensor._array, Pending) for tensor in tensors)


def _wrap_output(xp: Any, array: Any, memory: dict[int, Version], place: device) -> Tensor:
    out = Tensor.wrap(array if isinstance(array, Pending) else xp.asanyarray(array), place)
    version = memory.get(id(owner(out._array)))
    if version is not None:  # a view of an input: one memory, one version
        out.version, version.shared = version, True
        out.recorded_writes = version.recorded
    else:
        out.version.private = True
        if isinstance(array, Pending) and not array.wait(memory, out.version):
            out.read()
    return out


def _common_device(name: str, tensors: Sequence[Tensor]) -> device:
    if not tensors:
        return CPU
    place = tensors[0]._device
    for tensor in tensors:
        if tensor._device is not place and tensor._device != place:
            raise DeviceError(f"{name}: expected all tensors on one device, got {place} and {tensor._device}")
    return place


def check_history(name: str, tensor: Tensor) -> None:
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
