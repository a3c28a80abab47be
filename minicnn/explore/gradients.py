"""What flows back: the gradient at each step, where a unit looks, and which places speak for a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..autograd import grad
from ..autograd.backward import backward
from ..hooks import RemovableHandle
from ..tensors import Tensor
from .steps import Step


def rms(values: np.ndarray) -> float:
    """The root of the mean square, in float64: the squares of vanishing gradients would be 0 in float32."""
    return float(np.sqrt(np.square(values, dtype=np.float64).mean())) if values.size else 0.0


def arriving(
    loss: Tensor, steps: Sequence[Step], image: Tensor, tick: Callable[[], None] = lambda: None
) -> list[float | None]:
    """For each step, the rms of the gradient of ``loss`` that arrives at its first output; None where none arrives.

    This is the last use of the tape: what it holds is freed on the way, so that memory shrinks while gradients grow.
    ``tick`` is called at each step.
    """
    found: list[float | None] = [None] * len(steps)

    def hook(at: int) -> Callable[[Tensor], None]:
        def note(gradient: Tensor) -> None:
            found[at] = rms(gradient.cpu().numpy())
            tick()

        return note

    handles = []
    for step in steps:
        if step.edge is not None:
            node, index = step.edge
            handles.append(RemovableHandle(node.hooks.setdefault(index, {}), hook(step.id)))
    try:
        backward(loss, inputs=image)
    finally:
        for handle in handles:
            handle.remove()
        image.grad = None
    return found


def sensitivity(output: Tensor, image: Tensor) -> np.ndarray:
    """(H, W): how strongly the unit in the middle of the map ``output`` depends on each pixel, by one image.

    As ``lecture.analyses.receptive_field.centre_gradient``, from a tape that is there already, and stays: sizes of the
    gradients of the sum over channels, averaged over the image's channels, with a maximum of 1. All are 0 if the tape
    does not lead from the unit to the image.
    """
    row, column = (side // 2 for side in output.shape[2:])
    flow = _along(output[..., row, column].sum(), image)
    return _to_one(np.zeros(image.shape[1:]) if flow is None else np.abs(flow.cpu().numpy()[0], dtype=np.float64))


def _to_one(values: np.ndarray) -> np.ndarray:
    """The mean over channels, over its largest number if that is positive."""
    means = values.mean(axis=0)
    largest = means.max()
    with np.errstate(all="ignore"):  # where it is not finite
        return means / largest if largest > 0 else means


def class_map(logit: Tensor, maps: Tensor) -> tuple[np.ndarray, float]:
    """Grad-CAM: (h, w) with a maximum of 1, and the maximum before: which places of ``maps`` speak for a class.

    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017,
    equations 1 and 2: each map is weighted by the mean of the logit's gradient over it, and of their sum the positive
    part counts. The map is empty if the tape does not lead from the logit to ``maps``. The tape stays.
    """
    gradient = _along(logit, maps)
    if gradient is None:
        return np.zeros(maps.shape[2:]), 0.0
    values = maps.detach().cpu().numpy()[0].astype(np.float64)
    with np.errstate(all="ignore"):  # where the gradient is not finite
        weights = gradient.cpu().numpy().astype(np.float64).mean(axis=(0, 2, 3))
        cam = np.maximum(np.tensordot(weights, values, 1), 0)
        peak = float(cam.max())
        return (cam / peak if peak > 0 else cam), peak


def _along(output: Tensor, source: Tensor) -> Tensor | None:
    """The gradient of ``output`` at ``source``; None if the tape does not lead from one to the other."""
    if not output.requires_grad or not source.requires_grad:
        return None
    return grad(output, [source], retain_graph=True, allow_unused=True)[0]
