"""Where random numbers come from: a seed, a generator, or the library's default stream."""

from __future__ import annotations

import numpy as np

from ..random import Generator, default_generator

RandomSource = int | np.random.Generator | Generator | None


def numpy_generator(source: RandomSource) -> np.random.Generator:
    """A NumPy generator: ``source``'s own, a new one from a seed, or the default stream's for ``None``.

    Raises:
        TypeError: for anything else.
    """
    if source is None:
        return default_generator.numpy
    if isinstance(source, Generator):
        return source.numpy
    if isinstance(source, np.random.Generator):
        return source
    if isinstance(source, (int, np.integer)):
        return np.random.default_rng(int(source))
    raise TypeError(f"expected a seed, a generator or None, got {type(source).__name__}")
