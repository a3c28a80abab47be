"""The lecture's architectures, one file each; ``create_model`` builds any of them by name.

Every module of this package is imported here and registers its own builders, so a new architecture is one new
file. A builder is an attribute of this package, as in torchvision: ``minicnn.models.resnet18()``.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from .backbone import features
from .card import Card
from .hub import create_model
from .prediction import Classifier, Guess, Prediction, load_classifier, predict
from .preprocessing import preprocessing
from .registry import (
    ModelEntry,
    Paper,
    list_models,
    model_entry,
    register,
    suggestion,
)

# fmt: off
# isort: off
if TYPE_CHECKING:  # for editors; at run time the loop below finds the builders, in new files too
    from .alexnet import alexnet
    from .cifar_resnet import (
        resnet20, resnet32, resnet44, resnet56, resnet110, plain20, plain32, plain44, plain56, plain110,
    )
    from .deformable import deformable_resnet18, deformable_resnet50
    from .densenet import densenet121, densenet161, densenet169, densenet201
    from .efficientnet import (
        efficientnet_b0, efficientnet_b1, efficientnet_b2, efficientnet_b3, efficientnet_b4, efficientnet_b5,
        efficientnet_b6, efficientnet_b7,
    )
    from .googlenet import googlenet
    from .resnet import resnet18, resnet34, resnet50, resnet101, resnet152, plain18, plain34
    from .senet import seresnet18, seresnet34, seresnet50, seresnet101, seresnet152
    from .vgg import vgg11, vgg13, vgg16, vgg19, vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn
# isort: on
# fmt: on

__all__ = [
    "Card",
    "Classifier",
    "Guess",
    "ModelEntry",
    "Paper",
    "Prediction",
    "create_model",
    "features",
    "list_models",
    "load_classifier",
    "model_entry",
    "predict",
    "preprocessing",
    "register",
    "suggestion",
]
# fmt: off
__all__ += [
    "alexnet", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "plain20", "plain32", "plain44",
    "plain56", "plain110", "deformable_resnet18", "deformable_resnet50", "densenet121", "densenet161",
    "densenet169", "densenet201", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3",
    "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "googlenet", "resnet18", "resnet34",
    "resnet50", "resnet101", "resnet152", "plain18", "plain34", "seresnet18", "seresnet34", "seresnet50",
    "seresnet101", "seresnet152", "vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn",
    "vgg19_bn",
]
# fmt: on

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

# After the imports, so that a builder replaces a module of the same name (``alexnet``).
globals().update({name: model_entry(name).builder for name in list_models()})


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in list_models():  # registered later, outside this package
            return model_entry(name).builder
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{suggestion(name)}")


def __dir__() -> list[str]:
    return sorted({*__all__, *list_models()})
