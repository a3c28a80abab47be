"""Modules that hold modules: in a sequence, a list or a dictionary.

A container's output is the output of its last layer, and messages name that layer: so ``names_its_output`` is
False.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, cast, overload

from ..tensors import Tensor
from .messages import tree_text
from .module import Module


class _Indexed(Module):
    """What ``Sequential`` and ``ModuleList`` share: children named "0", "1", ..., and a list's methods."""

    names_its_output = False
    _modules: dict[str, Module]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def _key(self, index: int) -> str:
        """The name of the child at ``index``, which may count from the end."""
        length = len(self)
        if not -length <= index < length:
            raise IndexError(f"index {index} is out of range: this {type(self).__name__} has {length} modules")
        return list(self._modules)[index]

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return self._like(list(self._modules.items())[index])
        return self._modules[self._key(index.__index__())]

    def _like(self, items: list[tuple[str, Module]]) -> Self:
        """A new container of this kind that holds some of the children."""
        raise NotImplementedError(f"{type(self).__name__} cannot be sliced")

    def __setitem__(self, index: int, module: Module) -> None:
        self._set(self._key(index.__index__()), module)

    def __delitem__(self, index: int | slice) -> None:
        kept = list(self._modules.items())
        if isinstance(index, slice):
            del kept[index]
        else:
            self._key(index.__index__())
            del kept[index]
        self._replace(kept)

    def _replace(self, items: list[tuple[str, Module]]) -> None:
        """Make ``items`` the children; those whose names are numbers are numbered again."""
        self._modules.clear()
        for position, (name, module) in enumerate(items):
            self._set(str(position) if name.isdecimal() else name, module)

    def _set(self, name: str, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"expected a Module, got {type(module).__name__}")
        self._modules[name] = module

    def append(self, module: Module) -> Self:
        """Add ``module`` at the end."""
        number = len(self)
        while str(number) in self._modules:  # a slice keeps its names: [1:] starts at "1"
            number += 1
        self._set(str(number), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add every one of ``modules`` at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add ``module`` before position ``index``; the later ones move up by one."""
        if not isinstance(module, Module):
            raise TypeError(f"expected a Module, got {type(module).__name__}")
        if not -len(self) <= index <= len(self):
            raise IndexError(f"index {index} is out of range: this {type(self).__name__} has {len(self)} modules")
        items = list(self._modules.items())
        items.insert(index, ("0", module))
        self._replace(items)
        return self

    def pop(self, index: int = -1) -> Module:
        """Remove the module at ``index`` and return it."""
        module = self[index]
        del self[index]
        return module

    def __add__(self, other: Iterable[Module]) -> Self:
        return self._like(list(self._modules.items())).extend(other)

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)


class Sequential(_Indexed):
    """Run modules one after the other, each on the output of the one before.

    ``Sequential(conv, relu)`` names them "0" and "1"; ``Sequential(OrderedDict(conv=..., relu=...))`` by
    their keys. A slice is a ``Sequential`` of the same modules.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self.extend(args)

    def forward(self, input: Any) -> Tensor:
        for module in self._modules.values():
            input = module(input)
        return input

    def _like(self, items: list[tuple[str, Module]]) -> Self:
        # The constructor of a subclass may take other arguments than modules; so its slices are plain.
        kind = type(self) if type(self).__init__ is Sequential.__init__ else Sequential
        return cast(Self, kind(OrderedDict(items)))


class ModuleList(_Indexed):
    """A registered list of modules; it has no ``forward``: index it or loop over it."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def _like(self, items: list[tuple[str, Module]]) -> Self:
        kind = type(self) if type(self).__init__ is ModuleList.__init__ else ModuleList
        return cast(Self, kind(module for _, module in items))

    def __repr__(self) -> str:
        """As every module's, with equal neighbours in one line: ``(0-2): 3 x ReLU()``."""
        groups: list[tuple[int, int, str]] = []
        for position, text in enumerate(map(repr, self)):
            if groups and groups[-1][2] == text:
                groups[-1] = (groups[-1][0], position, text)
            else:
                groups.append((position, position, text))
        return tree_text(
            self,
            [
                f"({first}): {text}" if first == last else f"({first}-{last}): {last - first + 1} x {text}"
                for first, last, text in groups
            ],
        )


class ModuleDict(Module):
    """A registered dictionary of modules, in the order of insertion; it has no ``forward``."""

    names_its_output = False
    _modules: dict[str, Module]

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names and modules."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace every one of ``modules``, in their order."""
        for key, module in modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules:
            self[key] = module

    def pop(self, key: str) -> Module:
        """Remove the module called ``key`` and return it."""
        return self._modules.pop(key)

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()
