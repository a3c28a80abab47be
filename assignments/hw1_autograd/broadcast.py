"""Broadcasting and its inverse, and which dtype two operands meet in: each in this one place."""

from __future__ import annotations

from typing import Any


def unbroadcast(gradient: Any, shape: tuple[int, ...]) -> Any:
    """The inverse of broadcasting ``shape`` to ``gradient.shape``: sum over every axis that was repeated.

    A value that was used several times collects the gradients of all its uses::

        (3, 1, 5) was stretched to (2, 3, 4, 5): sum over axis 0 (new) and axis 2 (1 -> 4)

    Args:
        gradient: an array of the shape after broadcasting.
        shape: the shape before, ``()`` for a single number.

    Returns:
        an array of shape ``shape``, dtype of gradient; 0 where nothing was used, in an empty batch (1 -> 0).
    """
    # NumPy lines shapes up at their right ends. Which axes are new, and which were stretched from length 1?
    raise NotImplementedError("hw1.1 unbroadcast: not written yet, see assignments/hw1_autograd/README.md")
