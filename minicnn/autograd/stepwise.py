"""A mode around a function, also around one that pauses: a generator, or an ``async def``.

While such a function is paused, other code runs, and the mode must not hold for it. So the mode is set whenever the
function runs, and restored whenever it yields or awaits. ``mode()`` makes a new context manager each time.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Generator
from functools import wraps
from typing import Any, Self, TypeVar, cast, overload

Mode = Callable[[], Any]
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Decorator:
    """Base class of a mode that is for a function too: ``with mode():``, ``@mode()`` and ``@mode``."""

    @overload
    def __new__(cls, function: Decorated, /) -> Decorated: ...  # type: ignore[misc]
    @overload
    def __new__(cls, *args: Any, **options: Any) -> Self: ...
    def __new__(cls, *args: Any, **options: Any) -> Any:
        if len(args) == 1 and callable(args[0]):
            return around(cls, args[0])
        return super().__new__(cls)

    def __call__(self, function: Decorated) -> Decorated:
        """``function`` with the mode set whenever it runs."""
        return around(type(self), function)


def around(mode: Mode, function: Decorated) -> Decorated:
    """``function`` of the same kind, with the mode set while it runs."""
    wrapped: Any
    if inspect.isgeneratorfunction(function):

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return (yield from _steps(mode, function(*args, **kwargs)))

    elif inspect.iscoroutinefunction(function):

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            return await _awaited(mode, function(*args, **kwargs))

    elif inspect.isasyncgenfunction(function):

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            steps = function(*args, **kwargs)
            step = steps.asend(None)
            while True:
                try:
                    answer = await _awaited(mode, step)
                except StopAsyncIteration:
                    return
                try:
                    step = steps.asend((yield answer))
                except GeneratorExit:
                    await _awaited(mode, steps.aclose())
                    raise
                except BaseException as error:
                    step = steps.athrow(error)

    else:

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with mode():
                return function(*args, **kwargs)

    return cast(Decorated, wraps(function)(wrapped))


def _steps(mode: Mode, steps: Any) -> Generator[Any, Any, Any]:
    """Run the generator ``steps`` step by step: pass on what is sent in and what is yielded."""
    resume, value = steps.send, None
    while True:
        try:
            with mode():
                answer = resume(value)
        except StopIteration as end:
            return end.value
        try:
            resume, value = steps.send, (yield answer)
        except GeneratorExit:
            with mode():
                steps.close()
            raise
        except BaseException as error:
            resume, value = steps.throw, error


_awaited = types.coroutine(_steps)
