"""Which steps are looked at more closely: the ends of the stages, and the last map before the classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .steps import INPUT, Recording, Step


def has_map(step: Step) -> bool:
    """Whether its output is (1, C, H, W) with more than one pixel."""
    return step.batched and len(step.shape) == 3 and step.shape[1:] != (1, 1)


def stage_ends(steps: Sequence[Step]) -> list[int]:
    """For each size of map the last end of a stage that has it.

    Stages are the modules directly in the network; a module that does most of the work is opened, so in VGG the
    layers inside ``features`` count as stages.
    """
    maps = [step for step in steps if has_map(step)]
    opened = {""}
    while True:
        stages = [_stage(step, opened) for step in maps]
        largest, count = Counter(stages).most_common(1)[0] if stages else ("", 0)
        if 2 * count <= len(maps) or not any(step.module.startswith(f"{largest}.") for step in maps):
            break
        opened.add(largest)
    ends = dict(zip(stages, maps, strict=True)).values()
    return sorted({step.shape[1:]: step.id for step in sorted(ends, key=lambda step: step.id)}.values())


def _stage(step: Step, opened: set[str]) -> str:
    """The outermost module around a step that is not opened; the step itself if all are."""
    parts = step.module.split(".")
    paths = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return next((path for path in paths if path not in opened), f"{step.module}#{step.id}")


def cam_step(recording: Recording) -> int | None:
    """The last step with a map on which what the network returns depends; None if there is none."""
    steps = recording.steps
    behind, waiting = {recording.result}, [steps[recording.result]]
    while waiting:
        for at in waiting.pop().inputs:
            if at != INPUT and at not in behind:
                behind.add(at)
                waiting.append(steps[at])
    return max((at for at in behind if has_map(steps[at])), default=None)
