"""The types of arguments that the signatures of the operations name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex

import numpy as np

from ..tensors import Tensor

#: What may stand on either side of an operator.
Operand = Tensor | float | np.ndarray | np.generic

#: A shape, or an order of dimensions: ``f(2, 3)`` and ``f((2, 3))`` are the same call.
Size = SupportsIndex | Sequence[SupportsIndex]
