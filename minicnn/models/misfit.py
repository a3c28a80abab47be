"""Why weights do not fit a model, in one line: ``load_state_dict`` lists every difference, which can be hundreds."""

from __future__ import annotations

from ..nn.state import Shape, StateMismatch


def misfit(error: StateMismatch, num_classes: int, in_channels: int) -> str:
    """The reason: another number of classes or image channels, or else the first difference and how many more."""
    sizes = list(error.sizes.values())
    if sizes and not any(error.keys):
        if classes := _other_classes(sizes, num_classes):
            return f"they are for {classes} classes, not {num_classes}"
        if channels := _other_channels(sizes, in_channels):
            return f"they are for images of {channels} channel{'s' * (channels > 1)}, not {in_channels}"
    first, *others = [
        *(f"{key} is {given} in the file and {shape} in the model" for key, (given, shape) in error.sizes.items()),
        *(f"{key} is missing" for key in error.keys.missing_keys),
        *(f"the model has no {key}" for key in error.keys.unexpected_keys),
    ]
    return first + (f", and {len(others)} more differences" if others else "")


def _other_classes(sizes: list[tuple[Shape, Shape]], num_classes: int) -> int:
    """The file's number of classes if that is all that differs, else 0."""
    if any(given[1:] != shape[1:] or shape[:1] != (num_classes,) for given, shape in sizes):
        return 0
    found = {given[:1] for given, _ in sizes}
    return found.pop()[0] if len(found) == 1 and () not in found else 0


def _other_channels(sizes: list[tuple[Shape, Shape]], in_channels: int) -> int:
    """The file's number of image channels if that is all that differs, else 0."""
    (given, shape), *others = sizes
    if others or len(given) != 4 or len(shape) != 4 or given[:1] + given[2:] != shape[:1] + shape[2:]:
        return 0
    return given[1] if shape[1] == in_channels else 0
