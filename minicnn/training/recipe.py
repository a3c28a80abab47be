"""How each data set is trained by default, as data; and the configuration of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

from ..devices import device as Device
from ..nn import Module
from ..optim import SGD, Adam, AdamW, Optimizer, lr_scheduler
from .declared import check

MOST = 10**9  # of anything that is counted
LARGEST = 3e38  # in float32, in which the networks compute
SHORT = ("bfloat16", "float16")  # what ``minicnn.autocast`` has

# The arguments of each optimiser other than ``lr`` and ``weight_decay``.
OPTIMIZERS: dict[str, tuple[Callable[..., Optimizer], dict[str, Any]]] = {
    "sgd": (SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (Adam, {}),
    "adamw": (AdamW, {}),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The numbers that decide how well and how long a network trains.

    ``lr`` is the highest learning rate: it rises linearly over ``warmup_epochs`` and then falls to zero along half a
    cosine. ``weight_decay`` acts on the weights of convolutions and linear layers, not on biases and batch norm.
    """

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    optimizer: str = "sgd"
    warmup_epochs: float = 2.0
    label_smoothing: float = 0.1


# digits: about a minute on two cores. cifar: He et al. 2016, section 4.2 (SGD, momentum 0.9, batches of 128, 0.1),
# with a cosine in place of the two drops. mnist: as digits, for fewer epochs of more
# images. folder: section 3.4, at a smaller batch, for few images of any size.
RECIPES = {
    "digits": Recipe(epochs=25, batch_size=64, lr=0.1, weight_decay=5e-4),
    "cifar10": Recipe(epochs=160, batch_size=128, lr=0.1, weight_decay=5e-4, label_smoothing=0.0),
    "cifar100": Recipe(epochs=160, batch_size=128, lr=0.1, weight_decay=5e-4, label_smoothing=0.0),
    "mnist": Recipe(epochs=15, batch_size=128, lr=0.1, weight_decay=5e-4),
    "fashion_mnist": Recipe(epochs=40, batch_size=128, lr=0.1, weight_decay=5e-4),
    "folder": Recipe(epochs=90, batch_size=32, lr=0.05, weight_decay=1e-4, warmup_epochs=5.0),
}

# Networks without batch norm diverge at such rates: these are the rates of their papers.
MODEL_DEFAULTS: dict[str, dict[str, float]] = {
    "alexnet": {"lr": 0.01},
    "googlenet": {"lr": 0.01},
    **{f"vgg{layers}": {"lr": 0.01} for layers in (11, 13, 16, 19)},
}

# The optimisers need different rates: these replace the recipe's numbers if the optimiser is not SGD.
ADAPTIVE_DEFAULTS: dict[str, dict[str, float]] = {
    "adam": {"lr": 2e-3, "weight_decay": 0.0},
    "adamw": {"lr": 2e-3, "weight_decay": 0.05},
}


# Settings that the runs of an earlier version do not name, as these did it.
LATER: dict[str, Any] = {"sync_batchnorm": False, "autocast": None}


@dataclass(frozen=True, kw_only=True)
class Config(Recipe):
    """One run: with the same configuration on the same machine every run gives the same numbers.

    ``image_size`` is the side to which images are resized; None keeps the data set's own size. ``batch_size`` counts
    the images of a step on all ranks together, and ``sync_batchnorm`` normalises them together: with it a run is the
    same on any number of ranks. ``autocast``, ``"bfloat16"`` or ``"float16"``, is the dtype of products in training.
    """

    model: str
    data: str
    image_size: int | None = None
    seed: int = 0
    device: str = "cpu"
    sync_batchnorm: bool = False
    autocast: str | None = None

    def __post_init__(self) -> None:
        check(vars(self), get_type_hints(type(self)))
        rules = {
            "epochs": (1 <= self.epochs <= MOST, f"from 1 to {MOST}"),
            "batch_size": (1 <= self.batch_size <= MOST, f"from 1 to {MOST}"),
            "lr": (0 < self.lr <= LARGEST, f"a positive number up to {LARGEST}"),
            "weight_decay": (0 <= self.weight_decay <= LARGEST, f"a number from 0 to {LARGEST}"),
            "warmup_epochs": (0 <= self.warmup_epochs <= MOST, f"a number from 0 to {MOST}"),
            "label_smoothing": (0 <= self.label_smoothing <= 1, "a number from 0 to 1"),
            "optimizer": (self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}"),
            "image_size": (self.image_size is None or 1 <= self.image_size <= MOST, f"from 1 to {MOST}"),
            "autocast": (self.autocast in (None, *SHORT), f"one of {', '.join(SHORT)}"),
            "seed": (0 <= self.seed < 2**64, "from 0 to 2**64 - 1"),
        }
        for name, (holds, expected) in rules.items():
            if not holds:
                raise ValueError(f"{name} must be {expected}, got {getattr(self, name)!r}")
        Device(self.device)

    @property
    def data_kind(self) -> str:
        """The kind of data set: ``"folder"`` for ``"folder:pictures"``."""
        return self.data.partition(":")[0]

    @property
    def title(self) -> str:
        """``"resnet20 on digits"``."""
        return f"{self.model} on {self.data_kind}"

    def as_dict(self) -> dict[str, Any]:
        """The configuration as a dictionary that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Config:
        """The inverse of ``as_dict``. Raises ValueError if an entry is missing, unknown or of a wrong type."""
        if isinstance(content, dict):
            content = {**LATER, **content}
        try:
            check(content, get_type_hints(cls))
            return cls(**content)
        except ValueError as error:
            raise ValueError(f"not the configuration of a run: {error}") from error


def make_config(model: str, data: str = "digits", **overrides: Any) -> Config:
    """The data set's recipe, changed by the ``overrides`` that are not None.

    Raises:
        ValueError: for a value out of range. Whether the data and the model exist is checked when they are opened.
    """
    kind, _, path = data.partition(":")
    if kind in RECIPES and path:
        data = f"{kind}:{Path(path).expanduser().resolve()}"  # a run is resumed from any directory
    chosen = {name: value for name, value in overrides.items() if value is not None}
    optimizer = chosen.get("optimizer", "sgd")
    own = MODEL_DEFAULTS.get(model, {}) if optimizer == "sgd" else ADAPTIVE_DEFAULTS.get(optimizer, {})
    return Config(model=model, data=data, **{**asdict(RECIPES.get(kind, RECIPES["folder"])), **own, **chosen})


def make_optimizer(model: Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over the model's parameters, in two groups: with weight decay and without."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer, options = OPTIMIZERS[recipe.optimizer]
    return optimizer([group for group in groups if group["params"]], lr=recipe.lr, **options)


def make_scheduler(optimizer: Optimizer, recipe: Recipe, steps_per_epoch: int) -> lr_scheduler.LRScheduler:
    """Linear warm-up, then half a cosine down to zero; stepped after every batch."""
    steps = recipe.epochs * steps_per_epoch
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), steps - 1)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - warmup)
    if warmup == 0:
        return cosine
    rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return lr_scheduler.SequentialLR(optimizer, [rise, cosine], milestones=[warmup])
