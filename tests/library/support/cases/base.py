"""How one operation is called and how inputs for it are drawn: the row type of the table of all operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

Drawn = tuple[tuple[np.ndarray, ...], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One way to use one operation.

    ``run(lib, *tensors, **options)`` makes the call; ``lib`` is minicnn or torch, which are spelled alike. ``draw``
    yields ``(arrays, options)``; integer arrays among them get no gradient. ``torch`` tells whether PyTorch has it.
    """

    name: str
    family: str
    run: Callable[..., Any]
    draw: st.SearchStrategy[Drawn]
    torch: bool = True


def one(strategy: st.SearchStrategy, **options: st.SearchStrategy) -> st.SearchStrategy[Drawn]:
    """Inputs of an operation on one array, with options drawn independently of it."""
    return st.tuples(strategy.map(lambda x: (x,)), st.fixed_dictionaries(options))


def many(strategy: st.SearchStrategy, **options: st.SearchStrategy) -> st.SearchStrategy[Drawn]:
    """Inputs of an operation on the arrays of a tuple."""
    return st.tuples(strategy, st.fixed_dictionaries(options))


def functional(name: str) -> Callable[..., Any]:
    """Call ``lib.nn.functional.<name>``; options that are arrays (class weights, say) become tensors."""

    def run(lib: Any, *tensors: Any, **options: Any) -> Any:
        given = {key: lib.tensor(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}
        return getattr(lib.nn.functional, name)(*tensors, **given)

    return run


def top(name: str) -> Callable[..., Any]:
    """Call ``lib.<name>``."""
    return lambda lib, *tensors, **options: getattr(lib, name)(*tensors, **options)


def method(name: str) -> Callable[..., Any]:
    """Call the tensor's method ``name`` with the positional arguments in the option ``args``."""
    return lambda lib, x, args=(), **options: getattr(x, name)(*args, **options)
