"""All that a page shows of a network and one image, as a dictionary that JSON can hold.

The network runs twice: on a backend that only computes shapes, for the costs, and on the image, for all else. The tape
of the second run answers every question about gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import nn
from ..compiler import CompiledModel
from ..lecture.analyses.receptive_field import effective_size
from ..nn.functional import cross_entropy
from ..nn.summary import FLOAT32_BYTES, Row
from ..tensors import Tensor
from . import activations, gradients
from .byhand import by_hand
from .classes import TOP, Classes
from .costs import costs
from .numbers import pair, short
from .recording import record
from .source import source_of
from .stages import cam_step, stage_ends
from .steps import Recording, Step

COMMAND = "minicnn.explore.explore(model, image, path)"  # how a page was made, if nothing else is said

Watch = Callable[[str, int, int], None]


def look(
    model: nn.Module,
    image: Tensor,
    *,
    labels: Sequence[str] | None = None,
    target: int | str | None = None,
    name: str = "",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    title: str | None = None,
    origin: str = "the weights that it has",
    command: str = COMMAND,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Everything about ``model`` on ``image``: graph, costs, maps, gradients, code. ``explore`` makes a page of it.

    The model runs in evaluation mode. Afterwards it is as before, also after an error: modes, hooks, and its
    parameters' ``requires_grad`` and ``grad``. Gradients are those of the cross-entropy of one class, or, for a network
    that does not return (1, classes), of the sum of what it returns. What is not finite is left out, and a line in
    ``"notes"`` says so.

    Args:
        image: (C, H, W) or (1, C, H, W), as the network takes it.
        labels: the names of the classes.
        target: a class, by its name or number; None: the likeliest.
        name: of the image.
        mean, std: of each channel, with which the image was normalised; without them it is shown from its smallest
            to its largest number.
        title, origin, command: what the page says about the network, its weights, and how the page was made.
        watch: called with the name of what is done next, how many steps are done, and how many there are.

    Raises:
        ShapeError: if the network does not take such an image.
        ValueError: for an unknown class, for several images, and for a network whose output is not computed from the
            image on the tape.
    """
    if isinstance(model, CompiledModel):
        model = model.model
    batch = _batch(model, image)
    array = batch.cpu().numpy()[0]
    notes: list[str] = []
    view = _View(model, batch, notes, watch or (lambda what, done, of: None))
    recording = view.recording
    classes = Classes(recording.output, labels, target)
    if not classes.finite:
        notes.append("what the network returns is not finite: are these the weights of a trained one?")
    cam = view.cam(classes)
    looks = view.looks()
    flow = view.arriving(classes.chosen)
    nodes = [view.node(step, flow[step.id], looks.get(step.id)) for step in recording.steps]
    if classes.labels is not None:
        nodes[recording.result]["values"] = [
            [classes.labels[index], value] for index, value in nodes[recording.result]["values"]
        ]
    patch, convolution = by_hand(recording.steps, array)
    return {
        "title": title or type(model).__name__,
        "origin": origin,
        "class": type(model).__name__,
        "variant": getattr(model, "variant", None),
        "command": command,
        "input": {
            "shape": list(array.shape),
            "name": name,
            "src": activations.image_picture(array, mean, std),
            "pixels": patch,
        },
        "totals": {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "multiply_adds": sum(node["multiply_adds"] for node in nodes),
            "activation_bytes": sum(node["bytes"] for node in nodes),
        },
        "prediction": classes.prediction(),
        "cam": cam,
        "modules": [_module(path, module, recording) for path, module in model.named_modules()],
        "nodes": nodes,
        "output": recording.result,
        "convolution": convolution,
        "notes": notes,
    }


def _batch(model: nn.Module, image: Tensor) -> Tensor:
    """The image as a batch of one, of the network's dtype and device."""
    if not isinstance(image, Tensor):
        raise TypeError(f"expected a Tensor (C, H, W) as the image, got {type(image).__name__}")
    batch = image.detach()[None] if image.ndim == 3 else image.detach()
    if batch.ndim != 4 or batch.shape[0] != 1:
        raise ValueError(f"expected one image, (C, H, W) or (1, C, H, W), got shape {tuple(image.shape)}")
    first = next(model.parameters(), None)
    return batch if first is None else batch.to(first.device, first.dtype)


class _View:
    """The two runs of a network, and what is asked of their tape. ``arriving`` is the last question: it frees it."""

    def __init__(self, model: nn.Module, batch: Tensor, notes: list[str], watch: Watch) -> None:
        self.notes = notes
        self.rows: list[Row] | None = None
        try:
            plan, self.rows = costs(model, batch.shape[1:])
        except Exception as error:  # a forward that needs numbers; on the image it may run
            notes.append(f"the costs are unknown, because the forward cannot run on shapes alone: {error}")
            plan = record(model, batch)
        self._run(model, batch, plan, watch)
        if [step.likeness for step in plan.steps] != [step.likeness for step in self.recording.steps]:
            notes.append("the costs are unknown, because what runs depends on the numbers in the image")
            self.rows = None
            self._run(model, batch, self.recording, watch)

    def _run(self, model: nn.Module, batch: Tensor, plan: Recording, watch: Watch) -> None:
        """Run the network, and keep of each step what is shown; ``plan`` is an earlier run."""
        self.ends, self.cam_at = stage_ends(plan.steps), cam_step(plan)
        self.total = 2 * len(plan.steps) + len(self.ends) + TOP
        self.done, self.watch = 0, watch
        self.kept: dict[int, Tensor] = {}  # the outputs of the steps that are looked at more closely
        self.shown: dict[int, dict[str, Any]] = {}
        self.not_finite: dict[int, int] = {}
        self.recording: Recording = record(model, batch, self._seen)

    def _seen(self, step: Step, output: Tensor) -> None:
        array = output.detach().cpu().numpy().reshape(step.shape)
        array = array if array.dtype.kind == "f" else array.astype(np.float32)
        maps = activations.feature_maps(array)
        self.shown[step.id] = {
            "maps": maps,
            "values": None if maps else activations.largest_values(array),
            "filters": activations.filters_of(step.layer, maps),
        }
        self.not_finite[step.id] = array.size - int(np.count_nonzero(np.isfinite(array)))
        if step.id in self.ends or step.id == self.cam_at:
            self.kept[step.id] = output
        self._tell("forward")

    def _tell(self, what: str) -> None:
        self.done = min(self.done + 1, self.total)
        self.watch(what, self.done, self.total)

    def cam(self, classes: Classes) -> dict[str, Any] | None:
        """Grad-CAM of the likeliest classes and the chosen one."""
        if self.cam_at is None or classes.chosen is None or not classes.finite:
            return None
        found, lost = [], []
        for index in dict.fromkeys([*(guess["index"] for guess in classes.prediction()), classes.chosen]):
            self._tell("Grad-CAM")
            cam, peak = gradients.class_map(self.recording.output[0, index], self.kept[self.cam_at])
            if not np.isfinite(cam).all():
                lost.append(classes.label(index))
                continue
            source = activations.share_picture(cam)
            found.append({"index": index, "label": classes.label(index), "src": source, "peak": short(peak)})
        if lost:
            self.notes.append(f"which places speak for {', '.join(lost)} is left out: the gradients are not finite")
        return {"node": self.cam_at, "classes": found} if found else None

    def looks(self) -> dict[int, dict[str, Any]]:
        """Where the middle unit looks, at the ends of the stages."""
        found = {}
        for at in self.ends:
            self._tell("where units look")
            seen = gradients.sensitivity(self.kept[at], self.recording.image)
            if np.isfinite(seen).all():
                heat = activations.shrunk(seen, activations.HEAT_SIDE)
                size = round(effective_size(seen), 1)
                found[at] = {"src": activations.share_picture(heat), "effective": size}
        return found

    def arriving(self, chosen: int | None) -> list[float | None]:
        """The gradient at each step; the tape is freed."""
        self.kept.clear()
        output, steps = self.recording.output, self.recording.steps
        if chosen is None:
            loss = output.sum()
        else:
            loss = cross_entropy(output, Tensor(np.array([chosen]), device=output.device))
        found: list[float | None] = [None] * len(steps)
        if loss.requires_grad:
            found = gradients.arriving(loss, steps, self.recording.image, lambda: self._tell("backward"))
        lost = sum(gradient is not None and not np.isfinite(gradient) for gradient in found)
        if lost:
            self.notes.append(f"the gradients at {lost:,} of {len(steps):,} steps are not finite")
        bad = sum(self.not_finite.values())
        if bad:
            where = next(step for step in steps if self.not_finite[step.id])
            self.notes.append(
                f"{bad:,} activations are not finite, first in {where.module or 'the network'} ({where.label}): "
                "they are drawn as the smallest"
            )
        return found

    def node(self, step: Step, gradient: float | None, looks: dict[str, Any] | None) -> dict[str, Any]:
        """One node of the graph."""
        row = self.rows[step.id] if self.rows else None
        return {
            "id": step.id,
            "module": step.module,
            "kind": step.kind,
            "label": step.label,
            "inputs": step.inputs,
            "shape": list(step.shape),
            "parameters": step.parameters,
            "multiply_adds": row.multiply_adds if row else 0,
            "bytes": FLOAT32_BYTES * int(np.prod(step.shape)),
            "field": pair(row.receptive_field) if row else None,
            "stride": pair(row.stride) if row else None,
            "gradient": short(gradient),
            "line": None if step.line is None else vars(step.line),
            **self.shown[step.id],
            "looks": looks,
        }


def _module(path: str, module: nn.Module, recording: Recording) -> dict[str, Any]:
    source = source_of(module, recording.codes.get(path))
    parent, _, name = path.rpartition(".")
    return {
        "path": path,
        "name": name,
        "kind": type(module).__name__,
        "parent": parent if path else None,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "file": source and source.file,
        "line": source and source.line,
        "source": source and source.text,
        "source_line": source and source.first,
    }
