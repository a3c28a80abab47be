"""Find the first NaN or infinity, inside ``detect_anomaly``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import AnomalyError
from ..tensors import Tensor


def check_outputs(node: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """Raise ``AnomalyError`` if an output of the operation ``node`` has a number that is not finite."""
    isfinite = node.backend.xp.isfinite
    for out in outputs:
        if out.is_floating_point() and not isfinite(out.array).all():
            given = [i for i, t in enumerate(inputs) if t.is_floating_point() and not isfinite(t.array).all()]
            came_in = f" (tensor argument {given[0]} already had one)" if given else ""
            where = node.module_path or "no module"
            raise AnomalyError(f"{_first_bad(out.array)} in the output of {node.name()}, in {where}{came_in}")


def check_gradient(node: Any, gradient: Any, argument: int) -> None:
    """Raise ``AnomalyError`` if the gradient that ``node`` computed for ``argument`` is not finite."""
    if not node.backend.xp.isfinite(gradient).all():
        where = node.module_path or "an unknown module (run the forward inside detect_anomaly too)"
        raise AnomalyError(
            f"{_first_bad(gradient)} in the gradient that backward of {node.name()} computed "
            f"for argument {argument}, in {where}"
        )


def _first_bad(array: Any) -> str:
    flat = array.reshape(-1)
    position = int((~(abs(flat) < float("inf"))).argmax())
    index, rest = [], position
    for length in reversed(array.shape):
        rest, step = divmod(rest, length)
        index.append(step)
    kind = "NaN" if flat[position] != flat[position] else "infinity"
    return f"the first {kind} appeared at index {tuple(reversed(index))}"
