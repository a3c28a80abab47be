"""Which operations are fused: one table for training and inference, for every backend.

A rule names successive operations, each the only one that uses the result of the one before, and the class of
``fused.py`` that replaces them. It applies to a backend that has the kernels which that class calls.

| | reads and writes memory |
|---|---|
| BatchNorm + Add + ReLU (or SiLU) | once for the statistics and once for the result; as often in backward |
| Conv2d + ReLU, Linear + ReLU | once: with bias and activation; backward adds to an earlier gradient at x |
| Conv2d + FixedNorm + Add + ReLU, without gradients | once: the norm is folded into the packed filters |
| single operations | once, on all threads, if they are large |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ..ops.activation import ReLU, SiLU
from ..ops.arithmetic import Add, Mul
from ..ops.conv import Conv2d
from ..ops.joining import Cat
from ..ops.matrix import Linear
from ..ops.normalization import BatchNorm, FixedNorm
from ..ops.pooling import MaxPool2d
from ..ops.shape import Clone
from . import fused
from .record import Call, Graph, Leaf, Value, Write

FLOATS = ("float32", "float64")


@dataclass(frozen=True)
class Rule:
    """``operations``, one after the other, may be computed by ``stands_for``.

    Attributes:
        kernels: the backend's kernels that are called.
        suits: whether it applies to these calls; given the calls and the backend.
        activation: what ``stands_for`` ends with.
    """

    operations: tuple[Any, ...]
    stands_for: Any
    kernels: tuple[str, ...]
    suits: Callable[[Sequence[Call], Any], bool]
    activation: str | None = None
    folds: bool = False  # in plans without gradients only: parameters become packed filters

    @property
    def name(self) -> str:
        """``"BatchNorm + Add + ReLU"``."""
        return " + ".join(operation.__name__ for operation in self.operations)


# ---- when a rule applies ---------------------------------------------------------------------------------------------


def _alike(values: Sequence[Any]) -> bool:
    """Whether all of these are of one floating point dtype that has kernels."""
    return len({value.dtype for value in values if isinstance(value, Value)}) == 1 and values[0].dtype in FLOATS


def _short(images: Sequence[Any], channels: Sequence[Any], backend: Any) -> bool:
    """Whether the images have 16 bits and what there is once per channel has 32, as GPUs' kernels take them."""
    names = {value.dtype.name for value in images if isinstance(value, Value)}
    return (
        backend.device_type == "cuda"
        and len(names) == 1
        and names <= {"float16", "bfloat16"}
        and {value.dtype for value in channels if isinstance(value, Value)} <= {np.dtype("float32")}
    )


def _norm(calls: Sequence[Call], backend: Any) -> bool:
    x, *channels = calls[0].args
    others = [arg for call in calls[1:] for arg in call.args]
    return (
        (_alike([x, *channels, *others]) or _short([x, *others], channels, backend))
        and len(x.shape) == 4
        and all(isinstance(other, Value) and other.shape == x.shape for other in others)
    )


def _conv(calls: Sequence[Call], backend: Any) -> bool:
    _, weight, *_ = calls[0].args
    y = calls[0].outputs[0]
    work = y.shape[0] * y.shape[2] * y.shape[3] * prod(weight.shape) >> 3
    return work >= backend.least_work and _folding(calls, backend)


def _folding(calls: Sequence[Call], backend: Any) -> bool:
    x, weight, bias, *_ = calls[0].args
    y = calls[0].outputs[0]
    others = [arg for call in calls[1:] if call.operation is Add for arg in call.args]
    return _alike([x, weight, bias, *others]) and all(
        isinstance(other, Value) and other.shape == y.shape for other in others
    )


def _linear(calls: Sequence[Call], backend: Any) -> bool:
    x, weight, bias = calls[0].args
    return (
        _alike([x, weight, bias]) and len(x.shape) == 2 and x.shape[0] * prod(weight.shape) >> 3 >= backend.least_work
    )


def _gate(calls: Sequence[Call], backend: Any) -> bool:
    a, b = calls[0].args
    if not all(isinstance(factor, Value) and len(factor.shape) == 4 for factor in (a, b)):
        return False
    x, gate = (a, b) if prod(a.shape) >= prod(b.shape) else (b, a)
    return _alike([a, b]) and gate.shape == (*x.shape[:2], 1, 1) != x.shape and prod(x.shape) >= backend.least_work


def _pool(calls: Sequence[Call], backend: Any) -> bool:
    x, window, out_size = calls[0].args
    large = _alike([x]) and prod(x.shape) >= backend.least_work
    return large and bool(backend.fused["all_see_pixels"](x.shape, window, out_size))


def _cat(calls: Sequence[Call], backend: Any) -> bool:
    xs = calls[0].args
    images = all(isinstance(x, Value) and len(x.shape) == 4 for x in xs) and calls[0].options == {"axis": 1}
    return images and _alike(xs) and prod(calls[0].outputs[0].shape) >= backend.least_work


def _same_shapes(calls: Sequence[Call], backend: Any) -> bool:
    args = calls[0].args
    same = all(isinstance(arg, Value) and arg.shape == args[0].shape for arg in args)
    return same and _alike(args) and prod(args[0].shape) >= backend.least_work


def _counts(calls: Sequence[Call], backend: Any) -> bool:
    counter = calls[0].args[0]
    return isinstance(counter, Leaf) and calls[-1].args[0] is counter and calls[-2].outputs[0].dtype == counter.dtype


# ---- the table -------------------------------------------------------------------------------------------------------

PIECES = ((Add, ReLU), (Add, SiLU), (Add,), (ReLU,), (SiLU,), ())


def _with(
    head: tuple[Any, ...],
    pieces: Sequence[tuple[Any, ...]],
    stands_for: Any,
    kernels: tuple[str, ...],
    suits: Any,
    folds: bool = False,
) -> list[Rule]:
    """A rule for each of the ``pieces`` that may follow ``head``."""
    activations = {ReLU: "relu", SiLU: "silu"}
    return [
        Rule((*head, *piece), stands_for, kernels, suits, activations.get(piece[-1]) if piece else None, folds)
        for piece in pieces
    ]


RULES: tuple[Rule, ...] = (
    *_with((Conv2d, FixedNorm), PIECES, fused.PackedConv2d, ("pack",), _folding, folds=True),
    *_with((Conv2d,), PIECES, fused.PackedConv2d, ("pack",), _folding, folds=True),
    *_with((BatchNorm,), PIECES, fused.FusedNorm, ("norm", "norm_grad"), _norm),
    *_with((FixedNorm,), PIECES, fused.FusedFixedNorm, ("fixed_norm", "fixed_norm_grad"), _norm),
    *_with((Conv2d,), [(ReLU,)], fused.FusedConv2d, ("conv2d", "conv2d_input_grad", "relu_bias_grad"), _conv),
    Rule((Conv2d,), fused.FusedConv2d, ("conv2d", "conv2d_input_grad", "channel_sums"), _conv),
    *_with((Linear,), [(ReLU,), ()], fused.FusedLinear, ("linear",), _linear),
    Rule((Mul,), fused.Gate, ("scale_channels", "scale_channels_grad"), _gate),
    Rule((MaxPool2d,), fused.MaxPoolTaps, ("max_pool_taps", "max_pool_taps_grad"), _pool),
    Rule((Cat,), fused.CatChannels, ("cat_channels",), _cat),
    Rule((ReLU,), fused.PointwiseReLU, ("relu", "relu_grad"), _same_shapes),
    Rule((SiLU,), fused.PointwiseSiLU, ("silu", "silu_grad"), _same_shapes),
    Rule((Add,), fused.PointwiseAdd, ("add",), _same_shapes),
    Rule((Clone, Add, Write), fused.Count, (), _counts),
    Rule((Add, Write), fused.Count, (), _counts),
)


# ---- applying it -----------------------------------------------------------------------------------------------------


def fuse(graph: Graph, backend: Any, differentiable: bool) -> list[Call]:
    """The calls that compute the results and effects of ``graph``, fused where a rule applies."""
    calls = without_copies(graph, wanted(graph))
    fusion = _Fusion(graph, calls, backend, differentiable)
    at: dict[int, list[Call]] = {}  # by the place of the last call that they replace
    gone: set[Call] = set()
    for call in calls:
        if call not in gone:
            chain, made = fusion.best(call, gone)
            gone.update(chain)
            at[fusion.place[chain[-1]]] = made
    return [call for place in sorted(at) for call in at[place]]


def wanted(graph: Graph) -> list[Call]:
    """The calls on which the result depends, and those that write into the model or draw random numbers."""
    needed = {r.value for r in graph.returned}
    found = []
    for call in reversed(graph.calls):
        if call.writes or call.random or any(value in needed for value in call.outputs):
            found.append(call)
            needed.update(call.reads)
    return found[::-1]


def without_copies(graph: Graph, calls: Sequence[Call]) -> list[Call]:
    """The calls without the copies that eager makes before a write in place: a plan overwrites nothing."""
    returned = {r.value for r in graph.returned}
    same: dict[Value, Value] = {}
    found = []
    for call in calls:
        args = tuple(same.get(arg, arg) if isinstance(arg, Value) else arg for arg in call.args)
        if args != call.args:
            memories = {copy.memory: original.memory for copy, original in same.items()}
            call = replace(call, args=args, saves=frozenset(memories.get(memory, memory) for memory in call.saves))
        if (
            call.operation is Clone
            and not isinstance(args[0], Leaf)
            and call.outputs[0] not in returned
            and call.needs_input_grad == call.differentiable
        ):
            same[call.outputs[0]] = args[0]
        else:
            found.append(call)
    return found


class _Fusion:
    """The recorded calls, which calls use their results, and which may be fused."""

    def __init__(self, graph: Graph, calls: list[Call], backend: Any, differentiable: bool) -> None:
        self.calls, self.backend, self.differentiable = calls, backend, differentiable
        self.place = {call: place for place, call in enumerate(calls)}
        self.users: dict[Value, list[Call]] = {}
        self.uses = Counter(r.value for r in graph.returned)
        for call in calls:
            for value in call.reads:
                self.uses[value] += 1
                self.users.setdefault(value, []).append(call)
        self.fixed = from_leaves(graph, calls)

    def best(self, head: Call, gone: set[Call]) -> tuple[list[Call], list[Call]]:
        """The calls from ``head`` on that the first applicable rule fuses, and the calls that replace them."""
        for rule in RULES:
            if rule.operations[0] is head.operation and all(name in self.backend.fused for name in rule.kernels):
                chain = self._chain(head, rule)
                if chain and not gone.intersection(chain) and self._holds(rule, chain):
                    return chain, self._stand_in(rule, chain)
        return [head], [head]

    def _chain(self, head: Call, rule: Rule) -> list[Call]:
        chain = [head]
        for operation in rule.operations[1:]:
            value = chain[-1].outputs[0]
            follower = self.users.get(value, [None])[0]
            if self.uses[value] != 1 or follower is None or follower.operation is not operation:
                return []
            chain.append(follower)
        return chain

    def _holds(self, rule: Rule, chain: list[Call]) -> bool:
        if any(self.uses[value] for call in chain for value in call.outputs[1:]):
            return False  # the indices of a pooling are used
        if rule.folds and (self.differentiable or not self._folds(chain)):
            return False
        if self.differentiable and not all(map(self._tape_runs_through, chain, chain[1:])):
            return False
        return rule.suits(chain, self.backend) and all(self._may_move(call, chain) for call in chain[:-1])

    def _folds(self, chain: list[Call]) -> bool:
        """Whether everything that is folded into filters depends on leaves alone."""
        x, *parameters = chain[0].args
        if chain[1:] and chain[1].operation is FixedNorm:
            parameters += chain[1].args[1:]
        return x not in self.fixed and all(p in self.fixed for p in parameters if isinstance(p, Value))

    def _tape_runs_through(self, call: Call, follower: Call) -> bool:
        """Whether either both calls have a gradient, with one from ``follower`` to ``call``, or neither has."""
        position = follower.args.index(call.outputs[0])
        through = call.differentiable[0]
        return follower.needs_input_grad[position] == through and all(d == through for d in follower.differentiable)

    def _may_move(self, call: Call, chain: list[Call]) -> bool:
        """Whether ``call`` computes and does the same when it runs as late as the last of the chain."""
        for other in self.calls[self.place[call] + 1 : self.place[chain[-1]]]:
            if other not in chain and (
                set(other.writes) & set(call.reads)
                or set(call.writes) & set(other.reads)
                or (call.random and other.random)
            ):
                return False
        return True

    def _stand_in(self, rule: Rule, chain: list[Call]) -> list[Call]:
        args, wants = list(chain[0].args), list(chain[0].needs_input_grad)
        residuals: list[Value] = []
        for call, follower in zip(chain, chain[1:], strict=False):
            position = follower.args.index(call.outputs[0])
            rest = [i for i in range(len(follower.args)) if i != position]
            args += [follower.args[i] for i in rest]
            wants += [follower.needs_input_grad[i] for i in rest]
            if follower.operation is Add:
                residuals += [follower.args[i] for i in rest]
        operation = rule.stands_for
        if rule.activation is not None:
            operation = type(operation.__name__, (operation,), {"activation": rule.activation})
        lines = tuple(line for call in chain for line in call.lines)
        saves = frozenset().union(
            *(call.saves for call in chain), {v.memory for v in residuals if isinstance(v, Value)}
        )
        last = chain[-1]
        made = []
        if rule.folds:
            norm = chain[1].args[1:] if chain[1:] and chain[1].operation is FixedNorm else ()
            packed = Value((), None)
            parts = (*chain[0].args[1:], *norm)
            nothing = (False,) * len(parts)
            made.append(Call(fused.Fold, parts, {}, (packed,), nothing, (False,), lines=lines, kernels=rule.kernels))
            args, wants = [chain[0].args[0], packed, *residuals], [False] * (2 + len(residuals))
        made.append(
            Call(
                operation,
                tuple(args),
                chain[0].options,
                last.outputs,
                tuple(wants),
                last.differentiable,
                tuple(leaf for call in chain for leaf in call.writes),
                saves,
                lines,
                rule.name,
                rule.kernels,
            )
        )
        return made


def from_leaves(graph: Graph, calls: Sequence[Call]) -> set[Value]:
    """The leaves that no call writes into, and the values that are computed from these alone."""
    fixed: set[Value] = {leaf for leaf in graph.leaves if not leaf.dirty}
    for call in calls:
        if call.prepares(fixed):
            fixed.update(call.outputs)
    return fixed
