"""How the tape is written: every operation records a node, which can compute the gradients of its inputs.

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

``apply`` runs ``forward`` and, if an input requires a gradient, keeps ``ctx`` as the node that made ``y``
(``y.grad_fn``). The node's ``edges`` lead to the nodes that made its inputs. ``backward.py`` walks them backwards.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import backend
from ..devices import CPU, device
from ..short_floats import short_results
from ..tensors import Tensor
from . import anomaly, checks, scope
from .memory import Memory, memory_of, owner, share_memory
from .modes import SWITCHES

Edge = tuple["Node", int]  # (the node that made the input, which of its outputs)
_creation = itertools.count()


class Node:
    """A node of the graph: from the cotangents of its outputs it computes those along its ``edges``."""

    edges: Sequence[Edge | None] = ()
    device: Any = CPU

    def __init__(self) -> None:
        self.created = next(_creation)
        self.hooks: dict[int, dict[int, Callable]] = {}  # output index -> hooks on its gradient
        self.retain: dict[int, weakref.ref[Tensor]] = {}  # output index -> tensor that asked to keep its gradient

    def name(self) -> str:
        """The name in messages and in drawings of the graph."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The graph below this node, under PyTorch's name."""
        return tuple(edge if edge is not None else (None, 0) for edge in self.edges)


class AccumulateGrad(Node):
    """Where the graph ends: adds the gradient that arrives to the ``.grad`` of a leaf."""

    def __init__(self, leaf: Tensor) -> None:
        super().__init__()
        self.leaf = leaf

    @property
    def device(self) -> device:
        return self.leaf._device

    def accumulate(self, gradient: Any, fresh: bool) -> None:
        """Add ``gradient`` to the leaf's; ``fresh`` says that nothing else refers to the array, so it may be kept."""
        leaf = self.leaf
        if leaf._grad is not None:
            leaf._grad.array += gradient
            leaf._grad.mark_written()
        elif fresh and gradient.flags.c_contiguous:
            leaf._grad = Tensor.wrap(gradient, leaf._device)
        else:
            leaf._grad = Tensor.wrap(gradient.copy(order="C"), leaf._device)
        for hook in list((leaf.post_accumulate_hooks or {}).values()):
            hook(leaf)


class Function(Node):
    """One differentiable operation. Subclasses define static ``forward(ctx, ...)`` and ``backward(ctx, ...)``.

    ``forward`` gets the raw arrays of its tensor arguments, and all other arguments unchanged; it returns an array or a
    tuple of arrays. ``backward`` gets one cotangent array per output and returns one gradient (or ``None``) per
    positional argument of ``forward``. An instance is the ``ctx`` of one call and its node on the tape:

    - ``ctx.save_for_backward(*arrays)`` and ``ctx.saved_tensors``: what backward needs. Freed after backward, and
      checked not to have been overwritten in between. Big arrays belong here and not in attributes.
    - ``ctx.needs_input_grad``: for each argument, whether its gradient is wanted.
    - ``ctx.backend``: the primitives of the device the arrays live on; ``ctx.backend.xp`` is its NumPy.
    """

    backend: Any
    input_backend: Any  # differs from ``backend`` only in a copy between devices
    needs_input_grad: tuple[bool, ...] = ()
    module_path = ""
    freed = False
    converts = False  # whether its results are to have another dtype than its arguments
    _saved: tuple[Any, ...] = ()
    _saved_versions: tuple[tuple[Memory, int], ...] = ()
    _non_differentiable: tuple[int, ...] = ()
    _dirty: tuple[int, ...] = ()

    forward: Any = staticmethod(checks.no_forward)  # to be defined by every subclass
    backward: Any = staticmethod(checks.no_backward)

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward`` on the arguments' arrays, and record the call if an argument requires a gradient.

        Gradients flow to positional tensor arguments; keyword arguments are options.

        Raises:
            DeviceError: if the tensors live on different devices.
            AutogradError: if an argument is a view whose memory was written into by a recorded operation.
            AnomalyError: inside ``detect_anomaly``, at the first NaN or infinity.
        """
        ctx = cls()
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        ctx.device = checks.common_device(cls.__name__, tensors)
        ctx.backend = ctx.input_backend = backend.get(ctx.device)
        ctx.needs_input_grad = tuple(isinstance(arg, Tensor) and arg._requires_grad for arg in args)
        if SWITCHES.grad_enabled:
            checks.check_history(cls.__name__, tensors)
        with np.errstate(all="ignore"):  # log(0) is -inf without a warning, as on a GPU
            result = cls.forward(ctx, *(arg.array if isinstance(arg, Tensor) else arg for arg in args), **kwargs)
        outputs = ctx._wrap(result if isinstance(result, tuple) else (result,), tensors)
        if SWITCHES.grad_enabled and any(ctx.needs_input_grad):
            ctx._record(args, outputs)
        if SWITCHES.anomaly:
            ctx.module_path = scope.path()
            anomaly.check_outputs(ctx, tensors, outputs)
        if SWITCHES.recorder is not None:
            SWITCHES.recorder.record(ctx, args, kwargs, outputs)
        return outputs if isinstance(result, tuple) else outputs[0]

    def _wrap(self, results: tuple[Any, ...], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The results as tensors. A result on the memory of an input shares its write counters."""
        for tensor in inputs:
            if id(tensor.array) in self._dirty:
                tensor.mark_written()
        shown = {id(owner(tensor.array)): tensor for tensor in inputs}
        if inputs and inputs[0].array.dtype.itemsize == 2 and not self.converts:
            results = short_results(results, [tensor.array for tensor in inputs])
        outputs = tuple(Tensor.wrap(self.backend.xp.asanyarray(array), self.device) for array in results)
        for out in outputs:
            source = shown.get(id(owner(out.array)))
            if source is None:
                out.memory = Memory(fresh=True)
            elif id(out.array) in self._dirty:  # the argument itself
                out.memory = source.memory
            else:
                share_memory(out, source)
        return outputs

    def _record(self, args: Sequence[Any], outputs: Sequence[Tensor]) -> None:
        """Become the node of this call: store where gradients go, and the versions of the saved arrays."""
        wanted = [arg if needed else None for arg, needed in zip(args, self.needs_input_grad, strict=True)]
        self.edges = tuple(None if arg is None else gradient_edge(arg) for arg in wanted)
        self.created = next(_creation)  # larger than those of all inputs' nodes, leaves included
        self.input_specs = tuple(None if arg is None else (arg.shape, arg.dtype) for arg in wanted)
        self.output_specs = tuple((out.shape, out.dtype) for out in outputs)
        tensors = [arg for arg in (*args, *outputs) if isinstance(arg, Tensor)]
        memories = {id(owner(tensor.array)): memory_of(tensor) for tensor in tensors}
        found = [memories.get(id(owner(array))) for array in self._saved]
        self._saved_versions = tuple((memory, memory.writes) for memory in found if memory is not None)
        for index, out in enumerate(outputs):
            if out.is_floating_point() and id(out.array) not in self._non_differentiable:
                out.grad_fn, out.output_index, out._requires_grad = self, index, True

    def save_for_backward(self, *arrays: Any) -> None:
        """Keep ``arrays`` (or plain values, or ``None``) until backward."""
        self._saved = tuple(value.array if isinstance(value, Tensor) else value for value in arrays)

    def mark_non_differentiable(self, *arrays: Any) -> None:
        """Declare outputs without a gradient, for example indices."""
        self._non_differentiable = tuple(id(array) for array in arrays)

    def mark_dirty(self, *arrays: Any) -> None:
        """Declare arguments that forward has written into."""
        self._dirty = tuple(id(array) for array in arrays)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The arrays given to ``save_for_backward``.

        Raises:
            AutogradError: if they have been freed, or overwritten after they were saved.
        """
        if self.freed:
            raise checks.freed(self)
        for memory, version in self._saved_versions:
            if memory.writes != version:
                raise checks.overwritten(self, memory, version)
        return self._saved

    def release(self) -> None:
        """Free what forward saved; a second backward through this node is then an error."""
        if self._saved:
            self._saved, self._saved_versions, self.freed = (), (), True

    def run_backward(self, cotangents: list[Any], retain_graph: bool = False) -> tuple[Any, ...]:
        """Call ``backward`` with the cotangents of all outputs; one gradient for each argument of ``forward``.

        What forward saved is freed, unless ``retain_graph``.
        """
        xp = self.backend.xp
        filled = [
            xp.broadcast_to(xp.zeros((), dtype), shape) if cotangent is None else cotangent
            for cotangent, (shape, dtype) in zip(cotangents, self.output_specs, strict=True)
        ]
        result = self.backward(self, *filled)
        if not retain_graph:
            self.release()
        gradients = tuple(result) if isinstance(result, (tuple, list)) else (result,)
        if len(gradients) != len(self.edges):
            raise checks.gradient_count(self, len(gradients))
        return tuple(map(self._check_gradient, gradients, self.input_specs, range(len(gradients))))

    def _check_gradient(self, gradient: Any, spec: tuple[tuple[int, ...], Any] | None, argument: int) -> Any:
        """``gradient`` as an array of its argument's shape and dtype; ``None`` if it is not wanted."""
        if gradient is None or spec is None:
            return None
        gradient = gradient.array if isinstance(gradient, Tensor) else self.input_backend.xp.asarray(gradient)
        shape, dtype = spec
        if gradient.shape != shape:
            raise checks.gradient_shape(self, argument, gradient, shape)
        if SWITCHES.anomaly:
            anomaly.check_gradient(self, gradient, argument)
        return gradient if gradient.dtype == dtype else gradient.astype(dtype)


def gradient_edge(tensor: Tensor) -> Edge:
    """Where the gradient of ``tensor`` goes: the output of the node that made it, or a leaf's accumulator."""
    if tensor.grad_fn is not None:
        return tensor.grad_fn, tensor.output_index
    node = tensor._accumulator() if tensor._accumulator is not None else None
    if node is None:
        node = AccumulateGrad(tensor)
        tensor._accumulator = weakref.ref(node)  # weak, because the node refers to the leaf
    return node, 0
