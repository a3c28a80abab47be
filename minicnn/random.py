"""Random numbers: one seed, one stream, and a state that can be saved and restored."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import numpy as np


class Generator:
    """A stream of random numbers. ``.numpy`` is its ``numpy.random.Generator``.

    The state is a dictionary that JSON can hold, so that a checkpoint can store it and a resumed run continues the
    stream exactly where the killed one stopped.
    """

    def __init__(self, seed: int | None = None) -> None:
        if seed is not None:
            self.numpy = np.random.Generator(np.random.PCG64(seed))

    @cached_property
    def numpy(self) -> np.random.Generator:
        """The NumPy generator. Without a seed it is made at its first use: to import ``numpy.random`` takes time."""
        return np.random.Generator(np.random.PCG64())

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream again from ``seed`` and return this generator."""
        self.numpy.bit_generator.state = np.random.PCG64(seed).state
        return self

    def get_state(self) -> dict[str, Any]:
        """The state as a dictionary of strings and integers."""
        return dict(self.numpy.bit_generator.state)

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue the stream from where ``get_state`` was called."""
        self.numpy.bit_generator.state = state


default_generator = Generator()
if hasattr(os, "register_at_fork"):  # a forked process lacks the thread that holds the lock of an unfinished draw

    def _release() -> None:
        default_generator.numpy.bit_generator.lock.release()

    os.register_at_fork(
        before=lambda: default_generator.numpy.bit_generator.lock.acquire(),
        after_in_parent=_release,
        after_in_child=_release,
    )


def manual_seed(seed: int) -> Generator:
    """Seed the default stream, from which ``randn``, dropout and initialisation draw."""
    return default_generator.manual_seed(seed)


def resolve(generator: Generator | None) -> np.random.Generator:
    """The NumPy generator of ``generator``, or of the default one."""
    return (generator or default_generator).numpy
