"""Concatenations that begin alike, as in a dense block: (x0), (x0, y1), (x0, y1, y2), ...

They become the first channels of the same images, so that each channel is written once and kept once for the way back.
Where norms alone read them, their gradients are added up in the same images too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from . import fused
from .record import Call, Value


def share_beginnings(calls: Sequence[Call], returned: Collection[Value], backend: Any) -> list[Call]:
    """The calls, with each such concatenation in place of copies of the ones before."""
    if "empty_images" not in backend.fused:
        return list(calls)
    joins = [call for call in calls if call.operation is fused.CatChannels and call.outputs[0] not in returned]
    users: dict[Value, list[Call]] = {}
    for call in calls:
        for value in call.reads:
            users.setdefault(value, []).append(call)
    instead: dict[Call, list[Call]] = {}
    for chain in _chains(joins):
        instead.update(_grown(chain))
        if all(_reads_only(user, call.outputs[0]) for call in chain for user in users.get(call.outputs[0], [])):
            norms = [user for call in chain for user in users.get(call.outputs[0], []) if user not in joins]
            instead.update((norm, [replace(norm, operation=_adding(norm.operation))]) for norm in norms)
    return [new for call in calls for new in instead.get(call, [call])]


def _chains(joins: Sequence[Call]) -> list[list[Call]]:
    """Runs of two or more concatenations, each of which begins with all that the one before joins."""
    chains: list[list[Call]] = []
    for call in joins:
        for chain in chains:
            before = chain[-1].args
            if len(before) < len(call.args) and call.args[: len(before)] == before:
                chain.append(call)
                break
        else:
            chains.append([call])
    return [chain for chain in chains if len(chain) > 1]


def _grown(chain: Sequence[Call]) -> dict[Call, list[Call]]:
    """What stands for each call of a chain."""
    first, last = chain[0], chain[-1].outputs[0]
    room = Value(last.shape, last.dtype)
    like = first.args[0], last.shape[1]
    made = {first: [Call(fused.Reserve, like, {}, (room,), (False, False), (False,), lines=first.lines)]}
    for before, call in zip([None, *chain], chain, strict=False):
        known = len(before.args) if before else 0
        grow = replace(
            call,
            operation=fused.Grow,
            args=(room, before.outputs[0] if before else None, *call.args[known:]),
            options={},
            needs_input_grad=(False, before is not None and before.differentiable[0], *call.needs_input_grad[known:]),
            joined="Cat",
            kernels=("only what is new is copied",),
        )
        made.setdefault(call, []).append(grow)
    return made


def _reads_only(user: Call, value: Value) -> bool:
    """Whether the gradient that a call gives ``value`` is an array that nothing else uses: so for a norm of it, and for
    the next concatenation."""
    if user.operation is fused.CatChannels:
        return user.args[0] is not value
    norm = isinstance(user.operation, type) and issubclass(user.operation, fused.FusedNorm)
    return norm and user.args[0] is value and user.args.count(value) == 1


def _adding(operation: type) -> type:
    """The norm that adds its gradient at x, in place, to the one that is there."""
    return type(operation.__name__, (operation,), {"adds": 0})
