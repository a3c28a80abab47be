"""Learning-rate schedules: rules that set ``group["lr"]`` of an optimiser, usually once per epoch.

Each schedule is written as in PyTorch, in the *chained* form: the next rate is computed from the present one. So the
factors of several schedules of one optimiser multiply, and a rate changed by hand stays changed. The *closed* form (the
rate as a function of the epoch alone) starts a schedule in the middle of a run (``SequentialLR``).
"""

from .base import LRScheduler
from .curves import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    StepLR,
)
from .plateau import ReduceLROnPlateau
from .sequence import SequentialLR

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]


def __dir__() -> list[str]:
    return __all__
