"""What every optimiser shares: parameter groups, their options, and a state that can be saved."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from .. import replay
from ..autograd import enable_grad
from ..tensors import Tensor

#: What an optimiser takes: tensors, tensors with names, or groups of either with options of their own.
Params = Iterable[Tensor | tuple[str, Tensor] | dict[str, Any]]


class Optimizer:
    """Base class: holds the parameters in groups, and at each step updates those that have a gradient.

    A subclass defines ``update``, for one parameter at a time, or ``update_all``, for many at once.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or dictionaries ``{"params": tensors, "lr": ...}``, each a group of
            parameters with its own options.
        defaults: the options of groups that do not set them.

    ``param_groups`` is a list of such dictionaries with every option filled in; changing an option in it (as
    the schedules in ``lr_scheduler`` do with ``"lr"``) takes effect at the next step. ``state`` holds the values that
    the optimiser keeps per parameter.

    Raises:
        TypeError: if ``params`` is one tensor, a set (no order) or holds anything but tensors.
        ValueError: for an empty list, a parameter given twice, a non-leaf tensor or an option out of range.
    """

    capturable = False  # whether a step in a CUDA graph is right at every replay: numbers come from device memory
    state_names: tuple[str, ...] | None = None  # the entries that a parameter's state may have; None: any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        defined = vars(cls)
        if "update" in defined and "update_all" not in defined:  # use it, in subclasses of SGD and Adam too
            cls.update_all = Optimizer.update_all  # type: ignore[method-assign]
        if ("update" in defined or "update_all" in defined) and "capturable" not in defined:
            cls.capturable = False

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError("an optimizer takes an iterable of tensors or of dicts, got one Tensor: put it in a list")
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self.steps_taken = 0
        groups = _ordered(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of further parameters, with the options in ``param_group``.

        Raises:
            TypeError, ValueError: as the constructor.
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f"a parameter group is a dict with the key 'params', got {_describe(param_group)}")
        params = param_group["params"]
        entries = [params] if isinstance(params, Tensor) else _ordered(params)
        named = [isinstance(entry, tuple) and len(entry) == 2 for entry in entries]
        if any(named) and not all(named):
            raise ValueError("either all parameters of a group have names or none has")
        tensors = [entry[1] for entry in entries] if entries and all(named) else entries
        taken = {id(param) for group in self.param_groups for param in group["params"]}
        for position, param in enumerate(tensors):
            if not isinstance(param, Tensor):
                raise TypeError(f"an optimizer can only optimize tensors, got {_describe(param)} at {position}")
            if not (param.is_leaf or param.retains_grad):
                raise ValueError(f"cannot optimize a non-leaf tensor (shape {param.shape}, at {position})")
            if id(param) in taken:
                raise ValueError(f"the parameter of shape {param.shape} at {position} was given twice")
            taken.add(id(param))
        group = {"params": tensors, **{k: v for k, v in param_group.items() if k != "params"}}
        if entries and all(named):
            group["param_names"] = [entry[0] for entry in entries]
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        self.check_options(group)
        self.param_groups.append(group)

    def check_options(self, group: dict[str, Any]) -> None:
        """Raise ``ValueError`` if an option of ``group`` is out of range; defined by subclasses."""

    def update(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        """Change ``param`` in place, given its gradient and its group's options; defined by subclasses."""
        raise NotImplementedError(f"{type(self).__name__} does not define update()")

    def update_all(self, params: list[Tensor], grads: list[Tensor], group: dict[str, Any]) -> None:
        """Change parameters of one group, one device and one dtype in place, given their gradients."""
        for param, grad in zip(params, grads, strict=True):
            self.update(param, grad, group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; one whose ``.grad`` is ``None`` stays as it is.

        Args:
            closure: evaluates the model again and returns the loss; called once before the update.

        Returns:
            What ``closure`` returned, else ``None``.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        updates = [(*kind, group) for group in self.param_groups for kind in _by_kind(group["params"])]
        if replay.recording():
            self._capture(updates)
        else:
            self._update(updates)
        return loss

    def _update(self, updates: list[tuple[list[Tensor], list[Tensor], dict[str, Any]]]) -> None:
        for params, grads, group in updates:
            self.update_all(params, grads, group)
            for param in params:
                param.mark_written()
        self.steps_taken += 1

    def _capture(self, updates: list[tuple[list[Tensor], list[Tensor], dict[str, Any]]]) -> None:
        """Let a CUDA graph take the step. Nothing is computed yet, so the numbers on the host stay as they are."""
        if not self.capturable:
            raise RuntimeError(f"a step of {type(self).__name__} cannot be captured in a CUDA graph")
        steps_taken, before = self.steps_taken, {param: dict(entry) for param, entry in self.state.items()}
        replay.again(partial(self._replay, updates))
        complete = all(before.get(param, {}).keys() == entry.keys() for param, entry in self.state.items())
        self.steps_taken = steps_taken
        self.state.clear()
        self.state.update(before)
        if not complete:
            raise RuntimeError("the optimizer's first step cannot be captured in a CUDA graph: take a step before")

    def _replay(self, updates: list[tuple[list[Tensor], list[Tensor], dict[str, Any]]]) -> None:
        replay.replays_same([param.device for params, _, _ in updates for param in params])
        self._update(updates)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Delete the gradients, or overwrite them with zeros if ``set_to_none`` is false."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                if set_to_none:
                    param.grad = None
                else:
                    param.grad = param.grad.detach()
                    param.grad.zero_()

    def state_dict(self) -> dict[str, Any]:
        """The state in PyTorch's layout: ``{"state": {0: {...}}, "param_groups": [{..., "params": [0]}]}``.

        Parameters are numbered in the order in which they were given. The tensors are the optimiser's own:
        copy them if they should not change with the next step.
        """
        every = [param for group in self.param_groups for param in group["params"]]
        index_of = {id(param): index for index, param in enumerate(every)}
        return {
            "state": {index_of[id(param)]: dict(entry) for param, entry in self.state.items()},
            "param_groups": [
                {**group, "params": [index_of[id(param)] for param in group["params"]]} for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` returned: options, and copies of the tensors in the right dtype.

        Arrays and numbers are accepted instead of tensors, so that a state read from a file loads directly.

        Raises:
            ValueError: if groups, their sizes or a tensor's shape do not match; then nothing is changed.
        """
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= state_dict.keys():
            raise ValueError(f"expected a dict with 'state' and 'param_groups', got {_describe(state_dict)}")
        saved_groups = state_dict["param_groups"]
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in saved_groups]
        if sizes != saved_sizes:
            raise ValueError(f"parameters per group: the optimizer has {sizes}, the state dict {saved_sizes}")
        params = {
            index: param
            for group, saved in zip(self.param_groups, saved_groups, strict=True)
            for index, param in zip(saved["params"], group["params"], strict=True)
        }
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for index, entry in state_dict["state"].items():
            if index not in params:
                raise ValueError(f"state dict holds the state of parameter {index!r}, which is in none of its groups")
            if self.state_names is not None and not entry.keys() <= set(self.state_names):
                raise ValueError(
                    f"{type(self).__name__} keeps {self.state_names}, parameter {index} has {sorted(entry)}"
                )
            param = params[index]
            state[param] = {key: _load_value(value, param, index, key) for key, value in entry.items()}
        groups = []
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            options = copy.deepcopy({key: value for key, value in saved.items() if key != "params"})
            names = {"param_names": group["param_names"]} if "param_names" in group else {}
            groups.append({"params": group["params"], **self.defaults, **names, **options})
        self.state, self.param_groups = state, groups

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"  group {number}: {len(group['params'])} parameters")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key not in ("params", "param_names")]
        return "\n".join([*lines, ")"])


def check_range(group: dict[str, Any], name: str, low: float = 0.0, below: float = float("inf")) -> None:
    """Raise ``ValueError`` unless ``low <= group[name] < below`` (NaN is never in range)."""
    value = group[name]
    if not low <= value < below:
        upper = "" if below == float("inf") else f" and < {below:g}"
        raise ValueError(f"`{name}` (={value}) must be a number >= {low:g}{upper}")


def _by_kind(params: Iterable[Tensor]) -> Iterable[tuple[list[Tensor], list[Tensor]]]:
    """The parameters that have a gradient, in order, and their gradients: a pair of lists per device and dtype."""
    kinds: defaultdict[Any, tuple[list[Tensor], list[Tensor]]] = defaultdict(lambda: ([], []))
    for param in params:
        if param.grad is not None:
            with_gradient, grads = kinds[param.device.type, param.device.index, param.dtype]
            with_gradient.append(param)
            grads.append(param.grad)
    return kinds.values()


def _ordered(params: Any) -> list[Any]:
    if isinstance(params, (set, frozenset)):
        raise TypeError("optimizer parameters need an order that is the same in every run: give a list, not a set")
    if not isinstance(params, Iterable):
        raise TypeError(f"an optimizer takes an iterable of tensors or of dicts, got {_describe(params)}")
    return list(params)


def _describe(value: Any) -> str:
    return f"a dict with the keys {list(value)}" if isinstance(value, dict) else type(value).__name__


def _load_value(value: Any, param: Tensor, index: Any, key: str) -> Any:
    """One entry of a parameter's state: a tensor like the parameter, or a plain number (as ``step``)."""
    if not isinstance(value, (Tensor, np.ndarray)):
        return copy.deepcopy(value)
    if key == "step":
        return int(value)
    if tuple(value.shape) != param.shape:
        raise ValueError(f"state of parameter {index}: '{key}' must have shape {param.shape}, got {tuple(value.shape)}")
    copied = np.array(value.detach().cpu().numpy() if isinstance(value, Tensor) else value, dtype=param.dtype)
    return Tensor(copied, device=param.device)
