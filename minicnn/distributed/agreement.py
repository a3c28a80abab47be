"""Ranks that are not set up alike would compute nonsense, or wait for each other for ever: so they compare first."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from . import group

LONGEST = 200  # characters of a setting in a message


class DisagreementError(ValueError):
    """The ranks of a group are not set up alike."""


def require_agreement(settings: dict[str, Any]) -> None:
    """Compare ``settings``, and minicnn's version, over all ranks. Every rank has to call it.

    Raises:
        DisagreementError: on each rank, if one of them differs from rank 0's; the same text on all.
    """
    own = {"minicnn's version": import_module("minicnn").__version__, **settings}
    everyone = group.communicator().gather_objects(own)
    first = everyone[0]
    for rank, other in enumerate(everyone):
        for name in dict.fromkeys((*first, *other)):
            if first.get(name) != other.get(name):
                ours, theirs = _difference(first.get(name), other.get(name))
                raise DisagreementError(f"the ranks differ in {name}: rank 0 has {ours}, rank {rank} {theirs}")


def _difference(first: Any, other: Any) -> tuple[str, str]:
    """The two values; of dictionaries only the first entry that differs."""
    if isinstance(first, dict) and isinstance(other, dict):
        key = next(key for key in dict.fromkeys((*first, *other)) if first.get(key) != other.get(key))
        return f"{_short(first.get(key))} as {key}", _short(other.get(key))
    return _short(first), _short(other)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
