"""The errors minicnn raises, each with one clear line: what was expected, what came, and where."""

from __future__ import annotations

from typing import Any


class ShapeError(RuntimeError, ValueError):
    """An operation was given arrays whose shapes do not fit.

    PyTorch raises ``RuntimeError`` here and Python's habit is ``ValueError``: this is both.
    ``nn.Module.__call__`` puts the path of the module where it happened (``path``) before the message.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.path: str | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class AutogradError(RuntimeError):
    """A gradient cannot be computed: the graph was freed, a saved tensor was overwritten, ..."""


class GradientShapeError(AutogradError):
    """A backward returned a gradient whose shape is not its argument's; carries what ``gradcheck`` explains."""

    def __init__(self, message: str, node: Any, argument: int, gradient: Any) -> None:
        super().__init__(message)
        self.node, self.argument, self.gradient = node, argument, gradient


class AnomalyError(AutogradError):
    """``detect_anomaly`` saw the first NaN or infinity; the message names the operation and the module."""


class DeviceError(RuntimeError):
    """The device that was asked for does not exist here; the message says how to get it."""


class FileFormatError(ValueError):
    """A file is not what its reader expected: truncated, of another format, or refused for safety."""
