"""Operations that move numbers about: shapes, joining and splitting, indexing."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.library.support.cases.base import Case, Drawn, functional, method, one, top
from tests.library.support.strategies import SEEDS, arrays, distinct, normal, shapes


@st.composite
def _permuted(draw: Any) -> Drawn:
    x = draw(arrays(shapes(min_dims=1)))
    order = draw(st.permutations(range(x.ndim)))
    return (x,), {"args": tuple(axis - x.ndim if draw(st.booleans()) else axis for axis in order)}


@st.composite
def _transposed(draw: Any) -> Drawn:
    x = draw(arrays(shapes(min_dims=1)))
    dims = st.integers(-x.ndim, x.ndim - 1)
    return (x,), {"args": (draw(dims), draw(dims))}


@st.composite
def _reshaped(draw: Any) -> Drawn:
    x = draw(arrays(shapes()))
    sizes = list(draw(st.permutations(x.shape)))
    if len(sizes) > 1 and draw(st.booleans()):
        sizes[:2] = [sizes[0] * sizes[1]]
    if sizes and draw(st.booleans()):
        sizes[draw(st.integers(0, len(sizes) - 1))] = -1
    return (x,), {"args": tuple(sizes) if sizes else ((1,),)}


@st.composite
def _flattened(draw: Any) -> Drawn:
    x = draw(arrays(shapes(min_dims=1)))
    start = draw(st.integers(0, x.ndim - 1))
    end = draw(st.integers(start, x.ndim - 1))
    return (x,), {"start_dim": start, "end_dim": end - x.ndim if draw(st.booleans()) else end}


@st.composite
def _squeezed(draw: Any) -> Drawn:
    x = draw(arrays(shapes(min_dims=1, max_side=2)))
    return (x,), {"args": (draw(st.integers(-x.ndim, x.ndim - 1)),) if draw(st.booleans()) else ()}


@st.composite
def _expanded(draw: Any) -> Drawn:
    x = draw(arrays(shapes(max_dims=3, max_side=3)))
    front = tuple(draw(st.lists(st.integers(1, 3), max_size=1)))
    sizes = tuple(draw(st.integers(1, 3)) if size == 1 else draw(st.sampled_from([size, -1])) for size in x.shape)
    return (x,), {"args": ((*front, *sizes),)}


@st.composite
def _padded(draw: Any) -> Drawn:
    x = draw(arrays(shapes(min_dims=1, max_dims=4, max_side=3)))
    widths = draw(st.lists(st.integers(0, 2), min_size=2, max_size=2 * min(x.ndim, 3)))
    return (x,), {"pad": tuple(widths[: len(widths) // 2 * 2]), "value": draw(st.sampled_from([0.0, 1.5]))}


@st.composite
def _several(draw: Any, equal: bool = False) -> Drawn:
    """Arrays that differ in the size of one axis at most."""
    shape = list(draw(shapes(min_dims=0 if equal else 1, max_dims=3, max_side=3, max_size=12)))
    dim = draw(st.integers(0, len(shape) - (not equal)))
    found = []
    for number in range(draw(st.integers(1, 3))):
        if not equal:
            shape[dim] = draw(st.integers(1, 3))
        found.append(distinct(tuple(shape), draw(SEEDS) + number))
    return tuple(found), {"dim": dim - len(shape) - int(equal) if draw(st.booleans()) else dim}


@st.composite
def _split(draw: Any) -> Drawn:
    x = draw(arrays(shapes(min_dims=1)))
    dim = draw(st.integers(-x.ndim, x.ndim - 1))
    if draw(st.booleans()):
        first = draw(st.integers(0, x.shape[dim]))
        return (x,), {"sizes": [first, x.shape[dim] - first], "dim": dim}
    return (x,), {"sizes": draw(st.integers(1, 4)), "dim": dim}


def _index_item(draw: Any, size: int) -> Any:
    kind = draw(st.sampled_from(["slice", "int", "full", "step"]))
    start = draw(st.integers(-size, size - 1))
    stop = draw(st.integers(0, size))
    return {"slice": slice(start % size, stop), "int": start, "full": slice(None), "step": slice(None, None, 2)}[kind]


@st.composite
def _basic_index(draw: Any) -> Drawn:
    x = draw(arrays(shapes(min_dims=1)))
    count = draw(st.integers(1, x.ndim))
    front = draw(st.integers(0, count))
    extra = draw(st.sampled_from([(), (...,), (None,)]))
    sizes = x.shape[:count] if extra != (...,) else (*x.shape[:front], *x.shape[x.ndim - count + front :])
    items = [_index_item(draw, size) for size in sizes]
    return (x,), {"index": (*items[:front], *extra, *items[front:])}


@st.composite
def _integer_index(draw: Any) -> Drawn:
    """Integer arrays (with repeats) on one or two axes, mixed with slices."""
    x = draw(arrays(shapes(min_dims=2, max_dims=3)))
    picks = draw(st.integers(1, 5))
    items: list[Any] = [slice(None)] * x.ndim
    for axis in draw(st.lists(st.integers(0, x.ndim - 1), min_size=1, max_size=2, unique=True)):
        items[axis] = [draw(st.integers(-x.shape[axis], x.shape[axis] - 1)) for _ in range(picks)]
    return (x,), {"index": tuple(items)}


@st.composite
def _mask_index(draw: Any) -> Drawn:
    x = draw(arrays(shapes(min_dims=1)))
    return (x,), {"mask": np.random.default_rng(draw(SEEDS)).random(x.shape[: draw(st.integers(1, x.ndim))]) < 0.5}


@st.composite
def _assigned(draw: Any) -> Drawn:
    (x,), options = draw(_basic_index())
    return (x, normal(np.broadcast_to(0.0, np.shape(x[options["index"]])).shape, draw(SEEDS))), options


def _set(lib: Any, x: Any, values: Any, index: Any) -> Any:
    y = x * 1
    y[index] = values
    return y


def _pick(lib: Any, x: Any, index: Any) -> Any:
    return x[tuple(lib.tensor(item) if isinstance(item, list) else item for item in index)]


@st.composite
def _gathered(draw: Any) -> Drawn:
    x = draw(arrays(shapes(min_dims=1, max_dims=3)))
    dim = draw(st.integers(-x.ndim, x.ndim - 1))
    sizes = [draw(st.integers(1, size)) for size in x.shape]
    sizes[dim] = draw(st.integers(1, 4))
    return (x,), {"dim": dim, "index": np.random.default_rng(draw(SEEDS)).integers(0, x.shape[dim], sizes)}


@st.composite
def _selected(draw: Any) -> Drawn:
    x = draw(arrays(shapes(min_dims=1)))
    dim = draw(st.integers(-x.ndim, x.ndim - 1))
    return (x,), {
        "dim": dim,
        "index": np.random.default_rng(draw(SEEDS)).integers(0, x.shape[dim], draw(st.integers(1, 4))),
    }


@st.composite
def _moved(draw: Any) -> Drawn:
    x = draw(arrays(shapes(min_dims=1)))
    dims = st.integers(-x.ndim, x.ndim - 1)
    return (x,), {"args": (draw(dims), draw(dims))}


@st.composite
def _repeated(draw: Any) -> Drawn:
    x = draw(arrays(shapes(max_dims=2, max_side=3)))
    counts = draw(st.lists(st.integers(1, 2), min_size=max(x.ndim, 1), max_size=x.ndim + 1))
    return (x,), {"args": tuple(counts)}


@st.composite
def _narrowed(draw: Any) -> Drawn:
    x = draw(arrays(shapes(min_dims=1)))
    dim = draw(st.integers(-x.ndim, x.ndim - 1))
    start = draw(st.integers(0, x.shape[dim]))
    return (x,), {"args": (dim, start, draw(st.integers(0, x.shape[dim] - start)))}


@st.composite
def _bordered(draw: Any) -> Drawn:
    """Padding that repeats the image, which must be larger than its border (reflect) or as large (circular)."""
    lengths = st.integers(2, 4)
    x = distinct((1, draw(st.integers(1, 2)), draw(lengths), draw(lengths)), draw(SEEDS))
    widths = tuple(draw(st.integers(0, 1)) for _ in range(4))
    return (x,), {"pad": widths, "mode": draw(st.sampled_from(["reflect", "replicate", "circular"]))}


@st.composite
def _cropped(draw: Any) -> Drawn:
    x = draw(arrays(st.tuples(st.integers(1, 2), st.integers(3, 4), st.integers(3, 4))))
    return (x,), {"pad": tuple(draw(st.integers(-1, 2)) for _ in range(4)), "value": 0.5}


def _both_memory_orders(lib: Any, x: Any) -> Any:
    return x.t().contiguous() + x.contiguous().t().clone()


def _ordered() -> st.SearchStrategy[Drawn]:
    return one(arrays(shapes(min_dims=2)), dim=st.integers(-2, 1), down=st.booleans())


SHAPES = [
    Case("reshape", "shapes", method("reshape"), _reshaped()),
    Case("view", "shapes", method("view"), _reshaped()),
    Case("view_as", "shapes", lambda lib, x: x.view_as(x.detach().reshape(-1)), one(arrays())),
    Case("permute", "shapes", method("permute"), _permuted()),
    Case("permute then reshape", "shapes", lambda lib, x, args: x.permute(*args).reshape(-1), _permuted()),
    Case("transpose", "shapes", method("transpose"), _transposed()),
    Case("t", "shapes", lambda lib, x: x.t() * 2 + x.T, one(arrays(shapes(min_dims=2, max_dims=2)))),
    Case("movedim", "shapes", method("movedim"), _moved()),
    Case("flatten", "shapes", top("flatten"), _flattened()),
    Case("unflatten", "shapes", lambda lib, x: x.unflatten(1, (2, 3)), one(arrays(st.just((2, 6, 2))))),
    Case("unsqueeze", "shapes", method("unsqueeze"), one(arrays(shapes(min_dims=2)), dim=st.integers(-3, 2))),
    Case("squeeze", "shapes", method("squeeze"), _squeezed()),
    Case("expand", "shapes", method("expand"), _expanded()),
    Case("expand_as", "shapes", lambda lib, x: x.expand_as(lib.zeros(2, 3, 4)), one(arrays(st.just((3, 1))))),
    Case("repeat", "shapes", method("repeat"), _repeated()),
    Case("contiguous", "shapes", _both_memory_orders, one(arrays(shapes(min_dims=2, max_dims=2)))),
    Case("pad", "shapes", functional("pad"), _padded()),
    Case("pad modes", "shapes", functional("pad"), _bordered()),
    Case("pad negative", "shapes", functional("pad"), _cropped()),
    Case("cat", "shapes", lambda lib, *xs, dim: lib.cat(xs, dim=dim), _several()),
    Case("stack", "shapes", lambda lib, *xs, dim: lib.stack(xs, dim=dim), _several(equal=True)),
    Case("split", "shapes", lambda lib, x, sizes, dim: tuple(lib.split(x, sizes, dim=dim)), _split()),
    Case("chunk", "shapes", lambda lib, x, n: tuple(x.chunk(n)), one(arrays(shapes(min_dims=1)), n=st.integers(1, 4))),
    Case("unbind", "shapes", lambda lib, x, d: x.unbind(d), one(arrays(shapes(min_dims=2)), d=st.integers(-2, 1))),
    Case("narrow", "shapes", method("narrow"), _narrowed()),
    Case("flip", "shapes", lambda lib, x: lib.flip(x, (0, -1)), one(arrays(shapes(min_dims=2)))),
    Case("cast and back", "shapes", lambda lib, x: x.to(lib.float64).double() * x.clone(), one(arrays())),
]  # fmt: skip

INDEXING = [
    Case("slices and integers", "indexing", lambda lib, x, index: x[index], _basic_index()),
    Case("integer arrays", "indexing", _pick, _integer_index()),
    Case("mask", "indexing", lambda lib, x, mask: x[lib.tensor(mask)], _mask_index()),
    Case("assignment", "indexing", _set, _assigned()),
    Case("gather", "indexing", lambda lib, x, dim, index: x.gather(dim, lib.tensor(index)), _gathered()),
    Case("sort", "indexing", lambda lib, x, dim, down: lib.sort(x, dim=dim, descending=down)[0], _ordered()),
    Case("argsort", "indexing", lambda lib, x, dim, down: x * lib.argsort(x, dim=dim, descending=down), _ordered()),
    Case("topk", "indexing", lambda lib, x, dim, down: lib.topk(x, 1 + (x.shape[dim] > 1), dim, down)[0], _ordered()),
    Case("index_select", "indexing", lambda lib, x, dim, index: x.index_select(dim, lib.tensor(index)), _selected()),
]

CASES = (*SHAPES, *INDEXING)
