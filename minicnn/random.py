"""Random numbers: one seed, one stream, and a state that can be written down and taken up again."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import numpy as np


class Generator:
    """A stream of random numbers. ``.numpy`` is the ``numpy.random.Generator`` behind it.

    The state is a JSON-able dictionary, so that a checkpoint can hold it and a resumed run draws on exactly
    where the killed one stopped.
    """

    def __init__(self, seed: int | None = None) -> None:
        if seed is not None:
            self.numpy = np.random.Generator(np.random.PCG64(seed))

    @cached_property
    def numpy(self) -> np.random.Generator:
        """Without a seed it is made at its first use: importing ``numpy.random`` is a tenth of ``import minicnn``."""
        return np.random.Generator(np.random.PCG64())

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream again from ``seed`` and return this generator."""
        self.numpy.bit_generator.state = np.random.PCG64(seed).state
        return self

    def get_state(self) -> dict[str, Any]:
        """The state as a dictionary of strings and integers."""
        return dict(self.numpy.bit_generator.state)

    def set_state(self, state: dict[str, Any]) -> None:
        """Take up the stream where ``get_state`` left it."""
        self.numpy.bit_generator.state = state


default_generator = Generator()
if hasattr(os, "register_at_fork"):  # a forked process has no thread that would end a draw under way

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
    """The NumPy generator behind ``generator``, or behind the default one."""
    return (generator or default_generator).numpy
