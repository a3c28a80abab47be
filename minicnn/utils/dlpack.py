"""``from_dlpack`` and ``to_dlpack`` where PyTorch has them: ``from minicnn.utils.dlpack import from_dlpack``."""

from ..sharing import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
