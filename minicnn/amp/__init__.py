"""Automatic mixed precision: most arithmetic in 16 bits, and what needs more in 32 [Micikevicius et al., 2018].

``autocast`` chooses the dtypes, ``GradScaler`` keeps small float16 gradients from becoming 0. See ``docs/gpu.md``.
"""

from __future__ import annotations

from .casting import autocast, get_autocast_dtype, is_autocast_enabled
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "get_autocast_dtype", "is_autocast_enabled"]
