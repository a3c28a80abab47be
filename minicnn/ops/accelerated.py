"""Which operations a backend may compute in its own way, as a whole: see ``operations`` in ``backend/base.py``.

The mark is set on the classes here and not where they are written, so that a student's own class of the same name is
always the one that computes.
"""

from __future__ import annotations

from .activation import ReLU, SiLU
from .arithmetic import Add
from .conv import Conv2d
from .joining import Cat
from .matrix import Linear
from .pooling import MaxPool2d
from .products import Mul

for _operation in (Add, Cat, Conv2d, Linear, MaxPool2d, Mul, ReLU, SiLU):
    _operation.accelerated = True
