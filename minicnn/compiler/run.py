"""Running a plan: one node on the tape for the whole model."""

from __future__ import annotations

from typing import Any

from ..autograd import Function, checks
from ..autograd.memory import owner
from .record import Call


class Context:
    """The ``ctx`` of one call in one run: what ``Function`` offers to ``forward`` and ``backward``, without the tape.

    What is the same in every run is in a subclass per call (``of``), so that an instance is made quickly.
    """

    _saved: tuple[Any, ...] = ()
    before: Any = None  # in backward: the gradient that has already arrived at one of the arguments

    @staticmethod
    def of(call: Call, primitives: Any) -> type:
        """The class of the contexts of ``call``."""
        base = call.operation if isinstance(call.operation, type) else object
        members = {
            "__init__": object.__init__,
            "backend": primitives,
            "input_backend": primitives,
            "kernels": primitives.fused,
            # Without a tape nothing is wanted, and need not be saved.
            "needs_input_grad": tuple(wanted and any(call.differentiable) for wanted in call.needs_input_grad),
        }
        return type(base.__name__, (Context, base), members)

    def save_for_backward(self, *arrays: Any) -> None:
        """Keep ``arrays`` until backward."""
        self._saved = arrays

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The arrays given to ``save_for_backward``."""
        return self._saved

    def mark_non_differentiable(self, *arrays: Any) -> None:
        """Does nothing: the recording knows."""

    def mark_dirty(self, *arrays: Any) -> None:
        """Does nothing: the recording knows."""


class Compiled(Function):
    """A whole plan as one operation; its backward runs those of the recorded operations, last one first."""

    plan: Any
    contexts: list[Any] | None

    @staticmethod
    def forward(ctx: Any, plan: Any, *arrays: Any) -> Any:
        """Run ``plan`` on the arrays of its inputs and leaves."""
        ctx.plan, ctx.contexts = plan, [None] * len(plan.steps)
        results = plan.run(list(arrays), ctx.contexts)
        results = tuple(array if grad else array.view() for array, (_, grad) in zip(results, plan.outputs, strict=True))
        ctx.mark_non_differentiable(*(a for a, (_, grad) in zip(results, plan.outputs, strict=True) if not grad))
        ctx.save_for_backward(*(arrays[i] for i in plan.saved_leaves), *(results[i] for i in plan.saved_outputs))
        return results

    def run_backward(self, cotangents: list[Any], retain_graph: bool = False) -> tuple[Any, ...]:
        """The gradients of inputs and leaves; None for those on which no output with a cotangent depends."""
        self.saved_tensors  # noqa: B018  (raises if they have been overwritten)
        if self.contexts is None:
            raise checks.freed(self)
        plan, contexts = self.plan, self.contexts
        if not retain_graph:
            self.release()
        gradients = [None] * len(plan.slot)
        for place, cotangent in zip(plan.output_slots, cotangents, strict=True):
            if cotangent is not None:
                gradients[place] = cotangent if gradients[place] is None else gradients[place] + cotangent
        for step in plan.backward_steps:
            step.run(contexts, gradients, retain_graph)
            for place, parameter in step.completes:
                if parameter._announce is not None and gradients[place] is not None:
                    parameter._announce(gradients[place])
        found = [None, *gradients[: len(self.edges) - 1]]
        if retain_graph:  # what is kept for another backward must not be written into
            kept = {id(owner(array)) for ctx in contexts if ctx is not None for array in ctx._saved}
            found = [g.copy() if g is not None and id(owner(g)) in kept else g for g in found]
        return tuple(map(self._check_gradient, found, self.input_specs, range(len(found))))

    def release(self) -> None:
        """Free what forward saved."""
        self._saved, self._saved_versions, self.freed, self.contexts = (), (), True, None
