"""What the host does in a training step, so that it can be done again when the GPU repeats the step by itself.

A CUDA graph repeats kernels with the arguments that they had when it was captured. What the host decides anew in each
step (the learning rate, Adam's corrections, the seed of a dropout) must therefore be read from device memory, and the
host must write it there before each replay. So whoever decides something like that does it in a function, and calls it
by ``again``: at once, and before each replay of the graph that is being captured, if one is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")


class Action:
    """One function to be called before each replay, and the places on the device that it fills, in order."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.places: list[Any] = []
        self.next = 0

    def place(self, make: Callable[[], Any]) -> Any:
        """The next place: made during the capture, and the same one in each replay."""
        if THREAD.script is not None and THREAD.script.recording:
            self.places.append(make())
            return self.places[-1]
        self.next += 1
        return self.places[self.next - 1]


class Script:
    """All that the host does again for one graph."""

    def __init__(self) -> None:
        self.recording = False
        self.actions: list[Action] = []
        self.action: Action | None = None  # the one that is being called
        self.written: dict[int, Any] = {}  # the memories that the graph writes into: see ``autograd.memory``

    @contextmanager
    def record(self) -> Iterator[None]:
        """Inside the block, ``again`` adds to this script."""
        with self._followed():
            self.recording = True
            try:
                yield
            finally:
                self.recording = False

    def play(self) -> None:
        """Do everything again."""
        with self._followed():
            for action in self.actions:
                action.next = 0
                self.call(action)
        for memory in self.written.values():
            memory.writes += 1

    def call(self, action: Action) -> Any:
        """Call the action's function."""
        self.action = action
        try:
            return action.function()
        finally:
            self.action = None

    @contextmanager
    def _followed(self) -> Iterator[None]:
        THREAD.script = self
        try:
            yield
        finally:
            THREAD.script = None


class _Thread(threading.local):
    """The script that this thread records or plays."""

    script: Script | None = None


THREAD = _Thread()


def replays_same(value: Any) -> bool:
    """Whether only the host's part is wanted, because the graph does that of the GPU; ``value`` must be as captured.

    Raises:
        RuntimeError: if it is another than while the graph was captured.
    """
    script = THREAD.script
    if script is None or script.action is None:
        return False
    if script.action.place(lambda: value) != value:
        raise RuntimeError(
            "replay: the optimizer's tensors or options have been replaced since the capture: capture again"
        )
    return not script.recording


def recording() -> bool:
    """Whether a graph is being captured."""
    script = THREAD.script
    return script is not None and script.recording


def again(function: Callable[[], Result]) -> Result:
    """What ``function`` returns; it is called before each replay too, if a graph is being captured."""
    script = THREAD.script
    if script is None or not script.recording or script.action is not None:
        return function()
    action = Action(function)
    script.actions.append(action)
    result: Result = script.call(action)
    return result


def note_write(memory: Any) -> None:
    """A tensor's memory has been written into; so it will be at each replay."""
    script = THREAD.script
    if script is not None and script.recording:
        script.written[id(memory)] = memory
