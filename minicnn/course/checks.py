"""Checks: a property of a task, tested on a student's module and on the reference by the same driver.

A driver is a function with ``@points``. Its parameters are stub modules, by the name of their file, and the values of
a case; it returns named answers. It holds no expected value, so the same function can run in a process that must not
know one::

    def pairs(draw):
        return {"a": draw.normal(draw.size(1, 3), 4), "seed": draw.seed()}

    @points("hw1.2", 5, "the product's gradients", cases=pairs)
    def test_mul_gradients(arithmetic, a, seed):
        x = tensor(a, requires_grad=True)
        return gradients(arithmetic.Mul.apply(x, x), {"x": x}, seed)
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from .manifest import Homework, Task, find_task

Case = dict[str, Any]
Cases = Callable[["Draw"], Case] | Sequence[Case] | None


class Draw:
    """Draws the values of one case. The same seed, check and number give the same case; later ones are larger.

    ``index`` is the number of the case, ``dtype`` float64 for even and float32 for odd numbers: what float arrays are
    drawn in.
    """

    def __init__(self, name: str, index: int, count: int, seed: int = 0) -> None:
        self.index, self.count = index, count
        self.dtype = np.dtype(np.float32 if index % 2 else np.float64)
        self._rng = np.random.default_rng([seed, crc32(name.encode()), index])

    def normal(self, *shape: int) -> np.ndarray:
        """Standard normal numbers."""
        return self._rng.standard_normal(shape).astype(self.dtype)

    def uniform(self, low: float, high: float, *shape: int) -> np.ndarray:
        """Uniform in [low, high)."""
        return self._rng.uniform(low, high, shape).astype(self.dtype)

    def away_from_zero(self, *shape: int) -> np.ndarray:
        """Normal numbers at least 0.1 from zero, where a ReLU has its kink."""
        draws = self._rng.standard_normal(shape)
        return (draws + np.where(draws < 0, -0.1, 0.1)).astype(self.dtype)

    def distinct(self, *shape: int) -> np.ndarray:
        """All entries different by at least 0.1, in random order: no ties for a maximum."""
        size = int(np.prod(shape))
        steps = self._rng.permutation(size) + self._rng.uniform(0, 0.4, size)
        return ((steps - size / 2) / 4).reshape(shape).astype(self.dtype)

    def integers(self, low: int, high: int, *shape: int) -> np.ndarray:
        """Integers in [low, high], as an array."""
        return self._rng.integers(low, high + 1, shape)

    def integer(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return int(self._rng.integers(low, high + 1))

    def size(self, low: int, high: int) -> int:
        """An integer in [low, high] whose upper end grows with the case's number: small cases come first."""
        top = low + (high - low) * (self.index + 1) // self.count
        return self.integer(low, max(low, top))

    def choice(self, options: Sequence[Any]) -> Any:
        """One of the options."""
        return options[self.integer(0, len(options) - 1)]

    def boolean(self) -> bool:
        """True or False."""
        return bool(self.integer(0, 1))

    def seed(self) -> int:
        """A seed for what the driver draws itself."""
        return self.integer(0, 2**31 - 1)


@dataclass(frozen=True, eq=False)
class Check:
    """One property of one task: its driver, its cases, and what it is worth."""

    task_id: str
    points: int
    what: str
    driver: Callable[..., Any]
    cases: Cases
    count: int

    @property
    def name(self) -> str:
        """The name of the driver, which is the name of the pytest test."""
        return self.driver.__name__

    @property
    def homework(self) -> Homework:
        return find_task(self.task_id)[0]

    @property
    def task(self) -> Task:
        return find_task(self.task_id)[1]

    @property
    def stems(self) -> tuple[str, ...]:
        """The stub files that the driver is given."""
        return tuple(name for name in inspect.signature(self.driver).parameters if name in self.homework.modules)

    @property
    def file(self) -> Path:
        """The test file that defines it."""
        return Path(self.driver.__code__.co_filename)

    @property
    def size(self) -> int:
        """The number of its cases."""
        return self.count if callable(self.cases) else len(self.cases or [{}])

    def draw(self, seed: int = 0) -> list[Case]:
        """All cases of this check."""
        if self.cases is None:
            return [{}]
        if not callable(self.cases):
            return [dict(case) for case in self.cases]
        return [self.cases(Draw(self.name, index, self.size, seed)) for index in range(self.size)]


#: Every check that has been defined in this process, by task; a test file defines its own when it is imported.
CHECKS: dict[str, dict[str, Check]] = {}


def checks_of(task_id: str) -> list[Check]:
    """The checks of a task that have been defined."""
    return list(CHECKS.get(task_id, {}).values())


def define(tests: Path) -> None:
    """Define the checks of a test file: import it."""
    name = f"minicnn_checks_{tests.stem}"
    spec = importlib.util.spec_from_file_location(name, tests)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def points(
    task_id: str, points: int, what: str, *, cases: Cases = None, count: int = 6
) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    """Make a driver a check of ``task_id`` worth ``points``, and a pytest test.

    Args:
        what: the property that is checked, in a few words: it completes "wrong: ...".
        cases: a function of a ``Draw`` that returns the values of a case by name, called ``count`` times; or a list of
            such dicts; or None for a single case without values.

    Raises:
        ValueError: for a task that there is not, or a driver that takes none of its homework's modules.
    """

    def decorate(driver: Callable[..., Any]) -> Callable[..., None]:
        check = Check(task_id, points, what, driver, cases, count)
        if not check.stems:
            raise ValueError(
                f"{check.name}: a driver takes the module under test, expected a parameter among "
                f"{sorted(check.homework.modules)}, got {list(inspect.signature(driver).parameters)}"
            )
        CHECKS.setdefault(task_id, {})[check.name] = check

        def test(grade: Callable[[Check], None]) -> None:
            grade(check)

        test.__name__, test.__qualname__ = driver.__name__, driver.__qualname__
        test.__doc__, test.__module__ = driver.__doc__, driver.__module__
        test.check = check  # type: ignore[attr-defined]
        return test

    return decorate
