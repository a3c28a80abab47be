"""Networks as backbones: feature maps taken from inside, C2 to C5 at strides 4 to 32 (lecture line L3.2).

Detection, segmentation and most other tasks keep the body of a classifier and put a head of their own on its maps::

    body = features(create_model("resnet18", weights="resnet18.pth"))
    body.requires_grad_(False)
    body.channels                    # {'layer1': 64, 'layer2': 128, 'layer3': 256, 'layer4': 512}
    c5 = body(images)["layer4"]      # (N, 512, H / 32, W / 32)
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from .. import backend, nn
from ..backend.shapes import shape_array
from ..grad_mode import no_grad
from ..nn.summary import evaluating
from ..tensor import Tensor

STRIDES = (4, 8, 16, 32)  # of C2, C3, C4, C5


class FeatureExtractor(nn.Module):
    """Runs ``model`` as far as its last wanted module: (N, C, H, W) -> {name: (N, channels[name], ...)}.

    ``channels`` and ``strides`` say for each name how deep its map is, and how many input pixels lie between two of
    its pixels. What comes after the last map (the classifier) does not run.
    """

    def __init__(self, model: nn.Module, channels: dict[str, int], strides: dict[str, int]) -> None:
        super().__init__()
        self.model = model
        self.channels = channels
        self.strides = strides

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}

        def keep(name: str) -> Any:
            def hook(module: nn.Module, args: Any, output: Tensor) -> None:
                maps[name] = output
                if len(maps) == len(self.channels):
                    raise _Complete

            return hook

        handles = [self.model.get_submodule(name).register_forward_hook(keep(name)) for name in self.channels]
        try:
            self.model(x)
        except _Complete:
            return {name: maps[name] for name in self.channels}
        finally:
            for handle in handles:
                handle.remove()
        missing = [name for name in self.channels if name not in maps]
        raise RuntimeError(f"these modules did not run: {', '.join(missing)}")


class _Complete(Exception):
    """All maps are there: leave the model."""


def features(
    model: nn.Module, names: Sequence[str] | None = None, input_shape: tuple[int, int, int] = (3, 224, 224)
) -> FeatureExtractor:
    """A module that returns maps from inside ``model`` instead of its logits.

    Args:
        model: any network of this package, or of your own.
        names: of the modules whose outputs are wanted, as ``named_modules()`` spells them. ``None``: the last output
            at each of the strides 4, 8, 16 and 32, which papers call C2 to C5.
        input_shape: the (C, H, W) for which channels and strides are worked out, without computing anything.

    Raises:
        ValueError: for a name that the model does not have (with the nearest one), or whose output is no map; for a
            model that reaches none of the strides.
    """
    outputs = _outputs(model, input_shape)
    height = input_shape[1]
    if names is None:
        last_at = {_stride(height, shape): name for name, shape in outputs.items()}  # later outputs replace earlier
        names = [last_at[stride] for stride in STRIDES if stride in last_at]
        if not names:
            raise ValueError(f"no map of {type(model).__name__} has a stride of {STRIDES} at {input_shape}: name some")
    known = dict(model.named_modules())
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ValueError(
                f"{type(model).__name__} has no module {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
            )
        if name not in outputs:
            raise ValueError(f"the output of {name!r} is no feature map (N, C, H, W), or it does not run in evaluation")
    channels = {name: outputs[name][1] for name in names}
    return FeatureExtractor(model, channels, {name: _stride(height, outputs[name]) for name in names})


def _outputs(model: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
    """The shape of every map (N, C, H, W), by the module that gave it, in the order in which they came."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and not isinstance(module, nn.AdaptiveAvgPool2d):
                shapes.pop(name, None)  # a module that runs twice stands where it ran last
                shapes[name] = output.shape

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in model.named_modules() if name]
    try:
        with evaluating(model), backend.use("shapes"), no_grad():
            model(Tensor.wrap(shape_array((1, *input_shape))))
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _stride(size: int, shape: tuple[int, ...]) -> int:
    return round(size / shape[2])
