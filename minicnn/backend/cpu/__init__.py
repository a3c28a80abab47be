"""The CPU backend: NumPy where NumPy is fast, Numba where it is not. Equal to ``reference``, and tested to be."""

from __future__ import annotations

from typing import Any

from ..reference import ReferenceBackend


class CpuBackend(ReferenceBackend):
    """The reference backend with its slowest primitives compiled by Numba, which is imported at their first call."""

    name = "cpu"

    @staticmethod
    def deform_im2col(*args: Any) -> Any:
        """Deformable sampling, compiled."""
        from . import deformable

        return deformable.deform_im2col(*args)

    @staticmethod
    def deform_im2col_grad(*args: Any) -> Any:
        """The chain rule through deformable sampling, compiled."""
        from . import deformable

        return deformable.deform_im2col_grad(*args)
