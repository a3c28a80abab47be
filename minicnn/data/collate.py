"""Many samples, one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..dtypes import get_default_dtype
from ..tensors import Tensor


def collate(samples: Sequence[Any]) -> Any:
    """Stack samples along a new first axis, keeping the structure they have.

    Tensors and arrays of one shape become a tensor (B, ...), ints (and bools) an int64 (bool) tensor (B,),
    floats a tensor of the default dtype; tuples and lists of these become tuples, dictionaries dictionaries,
    strings a list.

    Raises:
        ValueError: for an empty list, or samples of different shapes or structures.
        TypeError: for a value that a tensor cannot hold.
    """
    if not samples:
        raise ValueError("cannot make a batch of no samples")
    first = samples[0]
    if isinstance(first, (Tensor, np.ndarray)):
        arrays = [item.detach().cpu().numpy() if isinstance(item, Tensor) else np.asarray(item) for item in samples]
        shapes = sorted({array.shape for array in arrays})
        if len(shapes) > 1:
            raise ValueError(f"the samples of a batch must have one shape, got {shapes}: resize or crop them")
        return Tensor(np.stack(arrays))
    if isinstance(first, (bool, np.bool_)):
        return Tensor(np.array(samples, dtype=np.bool_))
    if isinstance(first, (int, np.integer)):
        return Tensor(np.array(samples, dtype=np.int64))
    if isinstance(first, (float, np.floating)):
        return Tensor(np.array(samples, dtype=get_default_dtype()))
    if isinstance(first, str):
        return list(samples)
    if isinstance(first, Mapping):
        return {key: collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, Sequence):
        lengths = sorted({len(sample) for sample in samples})
        if len(lengths) > 1:
            raise ValueError(f"the samples of a batch must have one number of parts, got {lengths}")
        return tuple(collate(part) for part in zip(*samples, strict=True))
    raise TypeError(
        f"cannot make a batch of {type(first).__name__}: expected tensors, arrays, numbers, or tuples of them"
    )
