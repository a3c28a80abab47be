"""Tools around training, under PyTorch's names."""

import importlib
from typing import TYPE_CHECKING, Any

from . import checkpoint, dlpack

if TYPE_CHECKING:
    from . import data

__all__ = ["checkpoint", "data", "dlpack"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name != "data":  # imported when it is first used: it needs all of minicnn.data
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return importlib.import_module(f"{__name__}.data")


def __dir__() -> list[str]:
    return __all__
