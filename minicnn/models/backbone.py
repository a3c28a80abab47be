"""Networks as backbones: feature maps taken from inside, C2 to C5 at strides 4 to 32 (lecture line L3.2).

Detection, segmentation and most other tasks keep the body of a classifier and put another head on its maps::

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
from ..autograd import enable_grad
from ..backend.shapes import shape_array
from ..nn.summary import Row, evaluating, follow_windows
from ..tensors import Tensor

STRIDES = (4, 8, 16, 32)  # of C2, C3, C4, C5


class FeatureExtractor(nn.Module):
    """Runs ``model`` as far as its last wanted module: (N, C, H, W) -> {name: (N, channels[name], ...)}.

    ``channels`` and ``strides`` say for each name how many channels its map has, and how many input pixels lie between
    two of its pixels. ``runs`` says how often a module runs in a pass; its last output is its map. What comes after the
    last map (the classifier) does not run.
    """

    def __init__(
        self, model: nn.Module, channels: dict[str, int], strides: dict[str, int], runs: dict[str, int]
    ) -> None:
        super().__init__()
        self.model = model
        self.channels = channels
        self.strides = strides
        self.runs = runs

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        awaited = sum(self.runs.values())

        def keep(name: str) -> Any:
            def hook(module: nn.Module, args: Any, output: Tensor) -> None:
                nonlocal awaited
                maps[name] = output
                awaited -= 1
                if not awaited:
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
    """Raised to leave the model when all maps have been computed."""


def features(
    model: nn.Module, names: Sequence[str] | None = None, input_shape: tuple[int, int, int] = (3, 224, 224)
) -> FeatureExtractor:
    """A module that returns maps from inside ``model`` instead of its logits.

    Args:
        model: any network of this package, or your own.
        names: of the modules whose outputs are wanted, as in ``named_modules()``. ``None``: the last stage
            at each of the strides 4, 8, 16 and 32, which papers call C2 to C5.
        input_shape: the (C, H, W) for which channels and strides are determined, from shapes alone.

    Raises:
        ValueError: for a name that the model does not have (with the nearest one), or whose output is not a map; for a
            model without a map at any of the strides.
    """
    outputs = _outputs(model, input_shape)
    if names is None:
        names = _pyramid(outputs, input_shape)
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
            raise ValueError(f"the output of {name!r} is no map (N, C, H, W), or it does not run in evaluation")
    return FeatureExtractor(
        model,
        channels={name: outputs[name][-1].output_shape[1] for name in names},
        strides={name: _stride(outputs[name][-1], input_shape) for name in names},
        runs={name: len(outputs[name]) for name in names},
    )


def _pyramid(outputs: dict[str, list[Row]], input_shape: tuple[int, int, int]) -> list[str]:
    """C2 to C5: at each stride the last of the outermost modules, so whole stages if the model has stages."""
    found: dict[int, str] = {}
    for name, rows in outputs.items():
        stride = _stride(rows[-1], input_shape)
        if stride not in found or name.count(".") <= found[stride].count("."):
            found[stride] = name
    return [found[stride] for stride in STRIDES if stride in found]


def _outputs(model: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, list[Row]]:
    """The maps (N, C, H, W) of every module, one per run of the module; modules in the order of their last run."""
    maps: dict[str, list[Row]] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and not isinstance(module, nn.AdaptiveAvgPool2d):
                earlier = maps.pop(name, [])  # a module that runs twice has the place of its last run
                maps[name] = [*earlier, Row(name, type(module).__name__, output.shape, 0, 0, 0, node=output.grad_fn)]

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in model.named_modules() if name]
    image = Tensor.wrap(shape_array((1, *input_shape)))
    image.requires_grad = True  # the tape then knows which windows lie between the image and each map
    try:
        with evaluating(model), backend.use("shapes"), enable_grad():
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    follow_windows([row for rows in maps.values() for row in rows])
    return maps


def _stride(row: Row, input_shape: tuple[int, int, int]) -> int:
    """The stride along the height. The pixel of a 1 x 1 map, such as a mean, stands for the whole image."""
    return row.stride[0] if row.stride is not None else input_shape[1]
