"""Loading a state dict: compare all entries, report all differences, and write only if there are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..autograd import no_grad
from ..tensors import Tensor

if TYPE_CHECKING:
    from .module import Module

Shape = tuple[int, ...]


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` did not match; both lists are empty after a strict load."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not (self.missing_keys or self.unexpected_keys):
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class StateMismatch(RuntimeError):
    """A state does not fit a module: ``keys`` without a match, and by key the shapes in the state and in the module."""

    def __init__(self, message: str, keys: IncompatibleKeys, sizes: dict[str, tuple[Shape, Shape]]) -> None:
        super().__init__(message)
        self.keys, self.sizes = keys, sizes


def load(module: Module, state: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
    """Copy ``state`` into the parameters and buffers of ``module``, as ``Module.load_state_dict`` documents."""
    if not isinstance(state, Mapping):
        raise TypeError(f"expected a dictionary of tensors as state, got {type(state).__name__}")
    targets = module.state_dict(keep_vars=True)
    sources = {key: _as_tensor(state[key]) for key in targets if key in state}
    keys = IncompatibleKeys(
        missing_keys=[key for key in targets if key not in state and not _is_optional(module, key)],
        unexpected_keys=[key for key in state if key not in targets],
    )
    sizes = {
        key: (source.shape, targets[key].shape)
        for key, source in sources.items()
        if source is not None and source.shape != targets[key].shape
    }
    problems = [
        f"not an array: {key} is a {type(state[key]).__name__} in the state"
        for key, source in sources.items()
        if source is None
    ]
    problems += [
        f"size mismatch for {key}: {given} in the state, {shape} in the module" for key, (given, shape) in sizes.items()
    ]
    if strict:
        problems += [f'missing key: "{key}"' for key in keys.missing_keys]
        problems += [f'unexpected key: "{key}"' for key in keys.unexpected_keys]
    if problems:
        lines = [f"cannot load this state into {type(module).__name__}, and nothing of it was loaded:"]
        lines += problems
        lines += _hints(targets, state, keys)
        raise StateMismatch("\n    ".join(lines), keys, sizes)
    with no_grad():
        for key, source in sources.items():
            assert source is not None  # else it is among the problems
            targets[key].copy_(source)
    return keys


def _as_tensor(value: Any) -> Tensor | None:
    """A numeric tensor around ``value`` without a copy; None if it is not a numeric array."""
    if isinstance(value, Tensor):
        return value
    if not hasattr(value, "__array__"):
        return None
    array = np.asarray(value)
    return Tensor(array) if array.dtype.kind in "biuf" else None


def _is_optional(module: Module, key: str) -> bool:
    """Whether the module that owns ``key`` does not need it (it is missing in files older than the key)."""
    path, _, name = key.rpartition(".")
    return name in module.get_submodule(path).optional_state


def _hints(targets: Mapping[str, Tensor], state: Mapping[str, Any], keys: IncompatibleKeys) -> list[str]:
    """Hints at the most frequent causes of missing and unexpected keys, if they apply."""
    if not (keys.missing_keys and keys.unexpected_keys):
        return []
    for key in keys.unexpected_keys:
        if isinstance(state[key], Mapping):
            return [f'(the weights may be one level down: load state["{key}"])']
    prefix = keys.unexpected_keys[0].split(".")[0] + "."
    if all(key.startswith(prefix) and key.removeprefix(prefix) in targets for key in keys.unexpected_keys):
        return [f'(without the prefix "{prefix}" the unexpected keys would fit)']
    return []
