"""Values that wait: an operation may leave its output uncomputed until somebody looks at it.

Batch norm leaves a ``Pending`` behind. A residual sum or a ReLU that meets it takes it over and extends it, so that
``relu(batch_norm(x) + identity)`` walks through memory once and not three times. Everybody else finds an ordinary
tensor: ``Tensor.array`` computes what is pending, and so does every operation that does not take pendings over.

Only *values* wait. The nodes of the tape are made as ever, one for each operation.

What a pending reads must not change until it is computed. Therefore only memory that no raw array has been handed out
of is read later (``Version.private``), and whoever asks for such an array, or writes through a tensor, computes first
what waits for that memory (``Version.settle``).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any
from weakref import WeakSet

from .grad_mode import SWITCHES, Switch


class no_deferral(Switch):  # noqa: N801  (as no_grad)
    """Compute every operation at once and by its own forward: ``with no_deferral():``. The results are the same."""

    name, value = "deferral", False


def may_wait() -> bool:
    """Whether values may be left uncomputed here: not inside ``no_deferral`` or ``detect_anomaly``."""
    return SWITCHES.deferral and not SWITCHES.anomaly


class Version:
    """One piece of memory, shared by a tensor and all its views: the writes into it, and who still has to read it.

    ``writes`` lets backward notice that an array it saved has been overwritten since; ``recorded`` counts the writes
    that went on the tape, after which older views no longer know how their values came about; ``of_leaf`` says that
    the memory is that of a leaf which requires grad. ``private``: an operation made this memory and nobody has been
    given its raw array; ``shared``: more than one tensor looks at it. ``waiting`` are the pendings that are or that
    will read it, ``None`` for none. ``lent`` counts how often the raw array was given to somebody, who may write into
    it without a word: for compiled models.
    """

    __slots__ = ("lent", "of_leaf", "private", "recorded", "shared", "waiting", "writes")

    def __init__(self, private: bool = False) -> None:
        self.writes = 0
        self.recorded = 0
        self.lent = 0
        self.of_leaf = False
        self.private = private
        self.shared = False
        self.waiting: WeakSet[Pending] | None = None

    def settle(self) -> None:
        """Compute whatever waits for this memory, before it changes."""
        for pending in self.waiting or ():
            pending.values()
        self.waiting = None


class Pending:
    """Stands in a tensor for an array of known shape and dtype. Subclasses say how to ``compute`` it.

    Args:
        like: an array of its shape and dtype.
        reads: the arrays that ``compute`` reads and that others can write into, besides what it extends reads.
        extends: the pending that this one takes over.
    """

    def __init__(self, like: Any, reads: tuple[Any, ...], extends: Pending | None = None) -> None:
        self.shape, self.dtype = like.shape, like.dtype
        self.ndim, self.size = len(self.shape), prod(self.shape)
        self.reads, self.extends = reads, extends
        self._versions: set[Version] = set()
        self._result: Any = None
        self._taken = False

    def compute(self) -> Any:
        """The array."""
        raise NotImplementedError

    def plus(self, other: Any) -> Any:
        """This plus the array ``other``: a pending where that can wait, else an array."""
        raise NotImplementedError

    def relu(self, ctx: Any) -> Any:
        """The array ``max(this, 0)``. ``ctx`` is the node of the operation."""
        raise NotImplementedError

    def values(self) -> Any:
        """The array, computed when first asked for."""
        if self._result is None:
            self._result = self.compute()
            self.reads, self.extends, self._versions = (), None, set()
        return self._result

    def take(self) -> bool:
        """Whether the caller may extend this: nobody has looked at it or at what it extends, nor taken it over."""
        free = self._result is None and not self._taken and (self.extends is None or self.extends._result is None)
        self._taken = True
        return free

    def wait(self, memory: Mapping[int, Version], own: Version) -> bool:
        """Ask to be computed before what it reads changes; whether all of that can be watched.

        Args:
            memory: by the ``id`` of the owner of each input's array, that input's version.
            own: the version of the tensor this stands in.
        """
        found = {memory.get(id(owner(array))) for array in self.reads}
        found |= self.extends._versions if self.extends is not None else set()
        if not may_wait() or any(v is None or not v.private for v in found):
            return False
        self._versions = {v for v in found if v is not None}
        for version in (own, *self._versions):
            version.waiting = WeakSet() if version.waiting is None else version.waiting
            version.waiting.add(self)
        return True


def owner(array: Any) -> Any:
    """The array whose memory ``array`` shows: two arrays with one owner may overlap."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array
