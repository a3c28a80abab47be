"""Checkpointing: forget the intermediate results of a part of the network, compute them again in backward.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174. For one more forward pass, a
part of a network holds nothing but its inputs between forward and backward. DenseNet profits most: what its
layers concatenate grows with the square of their number (Pleiss et al., "Memory-Efficient Implementation of
DenseNets", arXiv:1707.06990).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..amp.casting import recast
from ..autograd import (
    AccumulateGrad,
    Function,
    Node,
    enable_grad,
    grad,
    gradient_edge,
    is_grad_enabled,
    topological_order,
)
from ..autograd.modes import SWITCHES
from ..errors import AutogradError
from ..random import default_generator
from ..tensors import Tensor


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)`` with the same gradients, holding only the arguments until backward.

    Gradients flow to the positional tensor arguments and to every parameter that ``function`` uses. It runs
    once now and once in backward, so batch norm in training mode updates its running statistics twice, as
    in PyTorch.

    Args:
        function: anything that returns a tensor or a tuple of tensors, such as a module.
        use_reentrant: PyTorch's choice between two implementations; here is one, and it is ignored.
        preserve_rng_state: draw the same random numbers (dropout) in both runs.

    Raises:
        AutogradError: if ``function`` uses a tensor that the tape computed outside and that is no argument;
            and in backward, if an argument or a parameter has been overwritten since.
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    section = _Section(function, args, kwargs, preserve_rng_state)
    start = Node().created
    inputs, result = section.run()
    outputs = result if isinstance(result, tuple) else (result,)
    section.parameters = _parameters_behind(outputs, inputs, start)
    section.kept = tuple((out.array, out.requires_grad) for out in outputs)
    results = _Recomputed.apply(section, *section.tensors, *section.parameters)
    return results if isinstance(result, tuple) else results[0]


class _Section:
    """A call that can be repeated."""

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any, preserve_rng_state: bool) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.random_state = default_generator.get_state() if preserve_rng_state else None
        self.autocast = SWITCHES.autocast
        self.tensors = [arg for arg in args if isinstance(arg, Tensor)]
        self.parameters: list[Tensor] = []
        self.kept: tuple[tuple[Any, bool], ...] = ()  # the outputs' arrays, and whether each has a gradient

    def run(self) -> tuple[list[Tensor], Any]:
        """Call the function on detached arguments; returns those that are tensors, and the result."""
        args = [arg.detach().requires_grad_(arg.requires_grad) if isinstance(arg, Tensor) else arg for arg in self.args]
        with enable_grad(), recast(self.autocast):
            result = self.function(*args, **self.kwargs)
        return [arg for arg in args if isinstance(arg, Tensor)], result

    def gradients(self, cotangents: Sequence[Any]) -> list[Tensor | None]:
        """Run again and differentiate: one gradient for each of ``tensors`` and ``parameters``, or None."""
        with _random_state(self.random_state):
            inputs, result = self.run()
        outputs = result if isinstance(result, tuple) else (result,)
        pairs = [pair for pair in zip(outputs, cotangents, strict=True) if pair[0].requires_grad]
        sources = [*inputs, *self.parameters]
        wanted = [source for source in sources if source.requires_grad]
        found = iter(grad([out for out, _ in pairs], wanted, [given for _, given in pairs], allow_unused=True))
        return [next(found) if source.requires_grad else None for source in sources]


class _Recomputed(Function):
    """The section as one node of the tape: its edges lead to the arguments and to the parameters inside."""

    @staticmethod
    def forward(ctx: Any, section: _Section, *arrays: Any) -> tuple[Any, ...]:
        ctx.section = section
        ctx.save_for_backward(*arrays)
        kept, section.kept = section.kept, ()
        ctx.mark_non_differentiable(*(array for array, has_gradient in kept if not has_gradient))
        return tuple(array for array, _ in kept)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> tuple[Any, ...]:
        _ = ctx.saved_tensors  # raises if one of them has been overwritten: the second run would differ
        return None, *ctx.section.gradients(cotangents)


def _parameters_behind(outputs: Sequence[Tensor], inputs: Sequence[Tensor], start: int) -> list[Tensor]:
    """The leaves, other than ``inputs``, that ``outputs`` depend on through nodes made after ``start``."""
    own = {id(tensor) for tensor in inputs}
    roots = [gradient_edge(out)[0] for out in outputs if out.requires_grad]
    leaves = []
    for node in topological_order(roots):
        if isinstance(node, AccumulateGrad):
            leaves.append(node.leaf)
        elif node.created < start:
            raise AutogradError(
                f"the checkpointed function uses a result of {node.name()} that was computed outside: "
                "pass it as an argument"
            )
    return [leaf for leaf in leaves if id(leaf) not in own]


@contextmanager
def _random_state(state: dict[str, Any] | None) -> Iterator[None]:
    """Draw from ``state`` on inside the block, and go on as before after it."""
    before = default_generator.get_state()
    try:
        if state is not None:
            default_generator.set_state(state)
        yield
    finally:
        if state is not None:
            default_generator.set_state(before)


__all__ = ["checkpoint"]
