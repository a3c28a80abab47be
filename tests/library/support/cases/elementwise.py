"""Operations on every element (arithmetic, powers, activations), and reductions."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from tests.library.support.cases.base import Case, Drawn, functional, many, method, one, top
from tests.library.support.strategies import SEEDS, arrays, axes, distinct, distinct_pair, shapes

ANY = arrays()
POWERS_FAMILY = "powers and exponentials"
POSITIVE = arrays(low=0.2, high=3.0)
SCALARS = st.sampled_from([-2.0, 0.5, 3.0, 2, -1])
EXPONENTS = st.sampled_from([2, 3, 0.5, -1, -0.5, 1, 0, 2.7])

ARITHMETIC = [
    Case("add", "arithmetic", lambda lib, a, b: a + b, many(distinct_pair())),
    Case("add alpha", "arithmetic", lambda lib, a, b: lib.add(a, b, alpha=3), many(distinct_pair())),
    Case("sub", "arithmetic", lambda lib, a, b: a - b, many(distinct_pair())),
    Case("sub alpha", "arithmetic", lambda lib, a, b: lib.sub(a, b, alpha=-2.0), many(distinct_pair())),
    Case("mul", "arithmetic", lambda lib, a, b: a * b, many(distinct_pair())),
    Case("div", "arithmetic", lambda lib, a, b: a / b, many(distinct_pair(low=0.5, high=2.0))),
    Case("remainder", "arithmetic", lambda lib, a, b: (2.9137 * a) % b, many(distinct_pair(low=1.0, high=1.9))),
    Case("remainder of a scalar", "arithmetic", lambda lib, a: (a + 3.7) % 1.9, one(arrays(low=0.2, high=1.9))),
    Case("neg", "arithmetic", lambda lib, a: -a, one(ANY)),
    Case("abs", "arithmetic", top("abs"), one(ANY)),
    Case("maximum", "arithmetic", top("maximum"), many(distinct_pair())),
    Case("minimum", "arithmetic", top("minimum"), many(distinct_pair())),
    Case("scalar right", "arithmetic", lambda lib, a, s: (a + s) * s - s, one(ANY, s=SCALARS)),
    Case("scalar left", "arithmetic", lambda lib, a, s: s - s * (s + a), one(ANY, s=SCALARS)),
    Case("scalar quotient", "arithmetic", lambda lib, a, s: a / s + s / a, one(POSITIVE, s=SCALARS)),
    Case("used twice", "arithmetic", lambda lib, a: a * a + a, one(ANY)),
    Case("itself twice", "arithmetic", lambda lib, a: (a + a) * (a - a / 3) / (a * a), one(POSITIVE)),
    Case("clamp", "arithmetic", top("clamp"), one(arrays(kinks=(-0.5, 0.7)), min=st.just(-0.5), max=st.just(0.7))),
    Case("clamp min", "arithmetic", method("clamp"), one(ANY, min=st.just(0.0))),
    Case("clamp max", "arithmetic", method("clamp"), one(ANY, max=st.just(0.0))),
    Case("clamp by tensors", "arithmetic", lambda lib, a, b: a.clamp(max=b), many(distinct_pair())),
    Case("where", "arithmetic", lambda lib, a, b: lib.where((a > b).detach(), a * 2, b * 3), many(distinct_pair())),
    Case("where scalar", "arithmetic", lambda lib, a: lib.where(a.detach() > 0, a, 0.5), one(ANY)),
    Case("masked_fill", "arithmetic", lambda lib, a: a.masked_fill(a.detach() > 0, 7.0), one(ANY)),
]  # fmt: skip

POWERS = [
    Case(name, POWERS_FAMILY, top(name), one(POSITIVE)) for name in ("exp", "log", "sqrt", "rsqrt")
] + [
    Case(name, POWERS_FAMILY, top(name), one(ANY)) for name in ("sin", "cos", "square")
] + [
    Case("pow scalar", POWERS_FAMILY, lambda lib, a, p: a**p, one(POSITIVE, p=EXPONENTS)),
    Case("pow integer of negatives", POWERS_FAMILY, lambda lib, a, p: a.pow(p), one(ANY, p=st.integers(0, 4))),
    Case("pow tensor", POWERS_FAMILY, lambda lib, a, b: a**b, many(distinct_pair(low=0.3, high=2.0))),
    Case("pow of a scalar", POWERS_FAMILY, lambda lib, a, s: s**a, one(ANY, s=st.sampled_from([2.0, 0.5, 3]))),
]  # fmt: skip

KINKED = arrays(low=-8.0, high=8.0, kinks=(-3.0, -1.0, 0.0, 1.0, 3.0, 6.0))

ACTIVATIONS = [
    Case(name, "activations", functional(name), one(KINKED))
    for name in ("relu", "sigmoid", "silu", "tanh", "leaky_relu", "relu6", "hardtanh", "hardsigmoid", "hardswish")
] + [
    Case("leaky_relu slope", "activations", functional("leaky_relu"), one(ANY, negative_slope=st.just(0.3))),
    Case("hardtanh bounds", "activations", functional("hardtanh"), one(ANY, min_val=st.just(-9), max_val=st.just(0))),
]  # fmt: skip


@st.composite
def reduced(draw: Any, min_dims: int = 0, single: bool = False, every: bool = True, least: int = 1) -> Drawn:
    """An array, ``dim`` and ``keepdim``; at least ``least`` entries come together in each result."""
    x = draw(arrays(shapes(min_dims=max(min_dims, int(single or not every)))))
    dim = draw(st.integers(-x.ndim, x.ndim - 1)) if single else draw(axes(x.ndim, allow_none=every))
    together = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    if math.prod(x.shape[axis] for axis in together) < least:
        x = distinct(tuple(max(size, least) for size in x.shape) or (least,), draw(SEEDS))
    return (x,), {} if dim is None else {"dim": dim, "keepdim": draw(st.booleans())}


@st.composite
def along(draw: Any) -> Drawn:
    """An array and a ``dim``."""
    x = draw(arrays(shapes(min_dims=1), low=-4.0, high=4.0))
    return (x,), {"dim": draw(st.integers(-x.ndim, x.ndim - 1))}


REDUCTIONS = [
    Case("sum", "reductions", top("sum"), reduced()),
    Case("mean", "reductions", method("mean"), reduced()),
    Case("var", "reductions", method("var"), reduced(least=2)),
    Case("var biased", "reductions", lambda lib, x, **o: x.var(unbiased=False, **o), reduced(every=False)),
    Case("var correction", "reductions", lambda lib, x, **o: x.var(correction=2, **o), reduced(every=False, least=3)),
    Case("std", "reductions", method("std"), reduced(least=2)),
    Case("max of all", "reductions", lambda lib, x: x.max(), one(ANY)),
    Case("min of all", "reductions", lambda lib, x: x.min(), one(ANY)),
    Case("max along", "reductions", lambda lib, x, **o: x.max(**o)[0], reduced(single=True)),
    Case("min along", "reductions", lambda lib, x, **o: lib.min(x, **o).values, reduced(single=True)),
    Case("amax", "reductions", top("amax"), reduced(every=False)),
    Case("amin", "reductions", top("amin"), reduced(every=False)),
    Case("prod of all", "reductions", lambda lib, x: lib.prod(x), one(arrays(shapes(max_size=8)))),
    Case("prod along", "reductions", top("prod"), reduced(single=True)),
    Case("cumsum", "reductions", top("cumsum"), along()),
    Case("logsumexp", "reductions", top("logsumexp"), reduced(every=False)),
    Case(
        "norm", "reductions", lambda lib, x, p: x.norm(p), one(arrays(high=2.7), p=st.sampled_from([1, 2, 3, math.inf]))
    ),
    Case("norm along", "reductions", lambda lib, x, **o: lib.norm(x, p=2, **o), reduced(every=False)),
]

CASES = (*ARITHMETIC, *POWERS, *ACTIVATIONS, *REDUCTIONS)
