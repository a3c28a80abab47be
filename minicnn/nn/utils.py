"""Helpers on all parameters at once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .. import backend
from ..autograd import no_grad
from ..autograd.checks import common_device
from ..dtypes import get_default_dtype
from ..ops import cat
from ..tensors import Tensor


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by one factor so that their norm, as one long vector, is at most ``max_norm``.

    Pascanu et al., "On the difficulty of training recurrent neural networks", ICML 2013: against exploding
    gradients (L1.2.1).

    Args:
        parameters: the tensors whose ``.grad`` is scaled in place; those without one are left out.
        norm_type: p of the p-norm, also ``math.inf`` for the largest absolute value.
        error_if_nonfinite: raise instead of scaling by NaN or infinity.

    Returns:
        The norm before scaling, a 0-d tensor.

    Raises:
        RuntimeError: if the norm is NaN or infinite, with ``error_if_nonfinite``.
    """
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients and gradients[0].is_cuda and not error_if_nonfinite:
        return _clip_on_device(gradients, max_norm, norm_type)
    if math.isinf(norm_type):
        total = max((float(abs(gradient.array).max(initial=0)) for gradient in gradients), default=0.0)
    else:
        powers = (float((abs(gradient.array) ** norm_type).sum(dtype="float64")) for gradient in gradients)
        total = sum(powers) ** (1.0 / norm_type)
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(f"expected a finite gradient norm, got {total}")
    factor = max_norm / (total + 1e-6)
    if not factor >= 1.0:  # so that NaN scales too, and becomes visible
        for gradient in gradients:
            gradient.array *= factor
            gradient.mark_written()
    return Tensor(total)


def _clip_on_device(gradients: list[Tensor], max_norm: float, norm_type: float) -> Tensor:
    """``clip_grad_norm_`` without reading a number on the host: it scales by 1 instead of not scaling."""
    place = common_device("clip_grad_norm_", gradients)
    primitives: Any = backend.get(place)
    total = primitives.clip([gradient.array for gradient in gradients], max_norm, norm_type)
    for gradient in gradients:
        gradient.mark_written()
    return Tensor.wrap(total.astype(get_default_dtype()), place)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, flattened and joined into one vector, recorded on the tape."""
    return cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write consecutive parts of ``vec`` into ``parameters``: the inverse of ``parameters_to_vector``.

    Raises:
        ValueError: if the lengths differ; nothing is written then.
    """
    targets = list(parameters)
    expected = sum(target.numel() for target in targets)
    if tuple(vec.shape) != (expected,):
        raise ValueError(f"expected a vector of {expected} numbers for these parameters, got {tuple(vec.shape)}")
    start = 0
    with no_grad():
        for target in targets:
            part = vec.detach()[start : start + target.numel()]
            target.copy_(part.reshape(target.shape))
            start += target.numel()
