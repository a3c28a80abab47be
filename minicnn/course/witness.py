"""What a student's functions did while a command ran with them (``--mine``), and what an error says to the student."""

from __future__ import annotations

import functools
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from .manifest import PACKAGE, Hole
from .overlay import HoleMissing

HERE = PACKAGE / "course"
# minicnn's own errors that a function may cause by what it returned. All others say what they have to say themselves.
OF_NONSENSE = ("ShapeError", "AutogradError", "GradientShapeError")
NUMBA_PLACE = re.compile(r"(\S+\.py) \((\d+)\)")  # how Numba says where it could not go on


@dataclass(frozen=True)
class Place:
    """A line of code: file, number, and the name of the function around it."""

    path: Path
    line: int
    function: str = ""

    def __str__(self) -> str:
        """``hw2_convolution/conv.py, line 61, in im2col``; the library's own from ``minicnn`` on."""
        inside = self.path.is_relative_to(PACKAGE)
        path = self.path.relative_to(PACKAGE.parent) if inside else Path(self.path.parent.name, self.path.name)
        return f"{path.as_posix()}, line {self.line}" + (f", in {self.function}" if self.function else "")


class Witness:
    """Stands beside a student's functions: how often each ran, and what it gave back last.

    Args:
        folders: that the student's files lie in.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = frozenset(folders)
        self.calls: Counter[str] = Counter()
        self._last = ""
        self._empty_handed = ""  # the last return, if it was None in place of a value
        self._widened = ""  # the first float64 out of float32
        self._odd: dict[str, str] = {}  # function -> what is odd about what it returned

    # ---- watching --------------------------------------------------------------------------------------------------

    def watch(self, module: ModuleType, hole: Hole) -> None:
        """Put a watched function in the place of the one that fills ``hole``. What Numba compiled stays as it is.

        Raises:
            HoleMissing: where there is no such function.
        """
        owner_path, _, name = hole.qualname.rpartition(".")
        owner: Any = getattr(module, owner_path, None) if owner_path else module
        found = inspect.getattr_static(owner, name, None) if owner is not None else None
        if found is None:
            raise HoleMissing(Path(str(module.__file__)), hole)
        static = isinstance(found, staticmethod)
        function = found.__func__ if static else found
        if isinstance(function, FunctionType) and Path(function.__code__.co_filename).parent in self.folders:
            watched = self._watched(function, hole)
            setattr(owner, name, staticmethod(watched) if static else watched)

    def _watched(self, function: FunctionType, hole: Hole) -> Callable[..., Any]:
        self.calls[hole.qualname] = 0
        place = Place(Path(function.__code__.co_filename), function.__code__.co_firstlineno)
        who = f"your {hole.qualname} ({place})"
        gives_something = "None" not in str(function.__annotations__.get("return", "None"))

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.calls[hole.qualname] += 1
            result = function(*args, **kwargs)
            self._last = f"{who} returned {_kind(result)}"
            self._empty_handed = ""
            if result is None and gives_something:
                self._empty_handed = self._last
                self._odd[hole.qualname] = " (returned None)"
            elif "float64" in _floats(result) and _floats((args, kwargs)) == {"float32"}:
                self._widened = self._widened or f"{who} returned float64 where it was given float32"
                self._odd.setdefault(hole.qualname, " (returned float64 where it was given float32)")
            return result

        return watched

    # ---- telling ---------------------------------------------------------------------------------------------------

    def explain(self, error: BaseException) -> str | None:
        """One line on an error that the student's code raised or that came of what it returned; None for others."""
        if isinstance(error, KeyboardInterrupt):
            return None
        chain = list(_chain(error))
        root = next((link for link in chain if self._theirs(link)), chain[-1])
        places = [place for place in _places(root) if place.path.is_relative_to(PACKAGE) or self._is_theirs(place)]
        theirs = [place for place in places if self._is_theirs(place)]
        if isinstance(root, SyntaxError) and root.filename and Path(root.filename).parent in self.folders:
            return f"your code: {type(root).__name__}: {root.msg} ({Place(Path(root.filename), root.lineno or 1)})"
        if type(root).__module__.startswith("numba."):
            places += [place for place in _numba_places(root) if self._is_theirs(place)][:1]
        told = _told(root)
        if places and self._is_theirs(places[-1]):
            return f"your code: {told} ({places[-1]})" + (f"; {self._empty_handed}" if self._empty_handed else "")
        if not places or isinstance(root, (OSError, MemoryError)) or _speaks_for_itself(root):
            return None
        came_of = self._empty_handed or ("float64" in told and self._widened) or self._last
        if not (theirs or came_of):
            return None
        called = [f"called from your {theirs[-1]}"] if theirs else []
        before = [f"before that {came_of}"] if came_of else []
        return "; ".join([f"{told} ({places[-1]})", *called, *before])

    def _theirs(self, error: BaseException) -> bool:
        return any(map(self._is_theirs, _places(error))) or isinstance(error, SyntaxError)

    def _is_theirs(self, place: Place) -> bool:
        return place.path.parent in self.folders

    def summary(self) -> str:
        """Which of the functions ran, and how often."""
        ran = [f"{name} {count}x{self._odd.get(name, '')}" for name, count in self.calls.items() if count]
        if not ran:
            return "none of your functions was called"
        idle = len(self.calls) - len(ran)
        return f"your functions ran: {', '.join(ran)}" + (f"; {idle} others were not called" if idle else "")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came of."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _places(error: BaseException) -> list[Place]:
    """The lines that an error went through, outermost first, less those that only watched."""
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        code: CodeType = traceback.tb_frame.f_code
        frames.append(Place(Path(code.co_filename), traceback.tb_lineno, code.co_qualname))
        traceback = traceback.tb_next
    return [place for place in frames if not place.path.is_relative_to(HERE)]


def _speaks_for_itself(error: BaseException) -> bool:
    return type(error).__module__.startswith("minicnn.") and type(error).__name__ not in OF_NONSENSE


def _numba_places(error: BaseException) -> list[Place]:
    return [Place(Path(path), int(line)) for path, line in NUMBA_PLACE.findall(str(error))]


def _told(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    text = "it leaves the program" if isinstance(error, SystemExit) else lines[0] if lines else ""
    return f"{type(error).__name__}: {text}".rstrip(": ")


def _kind(value: Any) -> str:
    """A value in a few words: ``None``, ``float32 of shape (2, 3)``, ``a tuple of ...``."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    if isinstance(value, (list, tuple)) and len(value) <= 4:
        return f"a {type(value).__name__} of ({', '.join(map(_kind, value))})"
    return f"a {type(value).__name__}"


def _floats(value: Any) -> set[str]:
    """The float dtypes of the arrays and tensors in a value."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (list, tuple)):
        return set().union(*map(_floats, value))
    dtype = str(getattr(value, "dtype", ""))
    return {dtype} if dtype.startswith("float") and hasattr(value, "ndim") and not np.isscalar(value) else set()
