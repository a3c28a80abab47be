"""A student's file laid over the reference: whose definitions are used, in which order, and what is missing."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

import pytest

from minicnn.course.manifest import Hole
from minicnn.course.overlay import HoleMissing, lay_over

REFERENCE = '''
"""Shapes and their areas."""

from __future__ import annotations

import math
from collections.abc import Callable

UNIT = 1.0


def checked(x: float) -> float:
    """``x``, which must not be negative."""
    if x < 0:
        raise ValueError(x)
    return x


class Square:
    """A square; ``side`` is its length."""

    def __init__(self, side: float) -> None:
        self.side = checked(side)

    def area(self) -> float:
        """side squared."""
        return _reference_power(self.side, 2)


def _reference_power(x: float, n: int) -> float:
    return x**n


class Cube(Square):
    """Its faces are squares."""

    def surface(self) -> float:
        return 6 * self.area()


def diagonal(square: Square) -> float:
    """From corner to corner."""
    return math.sqrt(2) * square.side


SHAPES: dict[str, Callable[..., Square]] = {"square": Square, "cube": Cube}
'''.lstrip("\n")

HOLES = (Hole("shapes", "Square.area", "hw9.1"), Hole("shapes", "diagonal", "hw9.2"))
SQUARE = '''
class Square:
    """A square; ``side`` is its length."""

    def __init__(self, side: float) -> None:
        self.side = checked(side)

    def area(self) -> float:
        """side squared."""
        {body}
'''
DIAGONAL = '''

def diagonal(square: Square) -> float:
    """From corner to corner."""
    return math.hypot(square.side, square.side)
'''
IMPORTS = "from __future__ import annotations\n\nimport math\n\n"
WRITTEN = IMPORTS + SQUARE.format(body="return self.side * self.side") + DIAGONAL


@pytest.fixture
def laid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that lays a text over the reference."""
    (tmp_path / "shapes_reference.py").write_text(REFERENCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shapes_reference", raising=False)

    def lay(text: str) -> ModuleType:
        path = tmp_path / "hw9_shapes" / "shapes.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        module = ModuleType("hw9_shapes_shapes")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        lay_over(module, path, "shapes_reference", HOLES)
        return module

    return lay


def test_subclasses_tables_and_functions_of_the_reference_use_the_students_definitions(laid):
    module = laid(WRITTEN.replace("self.side * self.side", "7.0"))
    assert module.Cube(2.0).surface() == 42 and module.SHAPES["square"] is module.Square
    assert module.UNIT == 1.0 and module.diagonal(module.Square(1.0)) == pytest.approx(2**0.5)
    assert "shapes_reference" not in sys.modules


def test_what_the_student_defines_besides_is_there_in_time(laid):
    """Helpers, constants and base classes, also where they use what the reference defines above."""
    square = SQUARE.format(body="return product(self.side, self.side) * SCALE").replace("Square:", "Square(Base):")
    helpers = "def product(a, b):\n    return a * b\n\n\nclass Base:\n    pass\n\n\nSCALE = checked(1.0)\n"
    module = laid(IMPORTS + "UNIT = 5.0\n" + helpers + square + DIAGONAL)
    assert module.Cube(2.0).surface() == 24 and module.UNIT == 5.0 and issubclass(module.Cube, module.Base)


def test_definitions_in_another_order_and_a_constant_below_them(laid):
    module = laid(IMPORTS + DIAGONAL + SQUARE.format(body="return self.side**POWER") + "\n\nPOWER = 2\n")
    assert module.Cube(3.0).surface() == 54


def test_a_whole_module_is_taken_as_it_is(laid):
    text = REFERENCE.replace("x**n", "10 * n").replace('"cube": Cube', '"die": Cube')
    module = laid(text)
    assert module.Square(3.0).area() == 20 and list(module.SHAPES) == ["square", "die"]


def test_what_is_imported_from_a_file_of_ones_own_counts(laid, tmp_path):
    cube = "\n\nclass Cube(Square):\n    def surface(self):\n        return 5.0\n"
    (tmp_path / "my_square.py").write_text("checked = abs\n" + SQUARE.format(body="return 1.5") + cube)
    assert laid(IMPORTS + "from my_square import Square\n" + DIAGONAL).Cube(2.0).surface() == 9
    assert laid(IMPORTS + "from my_square import *\n" + DIAGONAL).Cube(2.0).surface() == 5


def test_a_hole_that_is_not_there_is_missing_and_never_the_references(laid):
    module = laid(IMPORTS + SQUARE.format(body="return 0.0"))
    assert not hasattr(module, "diagonal") and hasattr(module, "checked")
    module = laid(IMPORTS + SQUARE.format(body="return 0.0").partition("    def area")[0] + DIAGONAL)
    assert not hasattr(module.Square, "area")


def test_a_class_that_the_reference_needs_and_that_is_not_there_is_named(laid):
    with pytest.raises(HoleMissing, match=r"^hw9_shapes/shapes.py: there is no Square.area \(hw9.1\)$"):
        laid(IMPORTS + DIAGONAL.replace(": Square", ""))


def test_private_helpers_that_only_holes_use_are_not_there(laid):
    module = laid(WRITTEN.replace("self.side * self.side", "_reference_power(self.side, 2)"))
    with pytest.raises(NameError, match="_reference_power"):
        module.Square(1.0).area()
    own = "\n\ndef _reference_power(x, n):\n    return -1.0\n"
    module = laid(WRITTEN.replace("self.side * self.side", "_reference_power(self.side, 2)") + own)
    assert module.Square(1.0).area() == -1


def test_every_line_has_the_name_of_its_own_file(laid, tmp_path):
    module = laid(WRITTEN.replace("return self.side * self.side", "return 1 / 0"))
    with pytest.raises(ZeroDivisionError) as error:
        module.Cube(1.0).surface()
    _, given, own = traceback.extract_tb(error.value.__traceback__)
    assert (given.filename, given.line) == (str(tmp_path / "shapes_reference.py"), "return 6 * self.area()")
    assert (own.filename, own.line) == (str(tmp_path / "hw9_shapes" / "shapes.py"), "return 1 / 0")


def test_an_error_in_the_import_is_in_the_students_line(laid, tmp_path):
    with pytest.raises(ZeroDivisionError) as error:
        laid(WRITTEN + "\n\nRATIO = 1 / 0\n")
    last = traceback.extract_tb(error.value.__traceback__)[-1]
    assert last.filename.endswith("hw9_shapes/shapes.py") and last.line == "RATIO = 1 / 0"
    with pytest.raises(SyntaxError) as error:
        laid("return 1\n")
    assert error.value.filename == str(tmp_path / "hw9_shapes" / "shapes.py") and error.value.lineno == 1


def test_annotations_are_evaluated_unless_the_file_says_otherwise(laid):
    with pytest.raises(NameError, match="Unknown"):
        laid(WRITTEN.replace("from __future__ import annotations\n", "def f(x: Unknown):\n    pass\n"))
    assert laid(WRITTEN + "\n\ndef f(x: Unknown):\n    pass\n").f.__annotations__ == {"x": "Unknown"}


COMPILED = '''
"""Compiled functions."""

from numba import njit


@njit(cache=True)
def step(x):
    """What ``walk`` adds up."""
    y = 2 * x
    return y


@njit(cache=True)
def walk(n):
    """The sum of n steps."""
    total = 0
    for x in range(n):
        total += step(x)
    return total
'''.lstrip("\n")


def test_machine_code_of_the_rest_follows_the_students_file(tmp_path, monkeypatch):
    """The rest calls the student's functions: what Numba keeps of it goes with the student's file."""
    importlib.import_module("minicnn.backend.cpu.keeping")
    (tmp_path / "steps_reference.py").write_text(COMPILED)
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "hw9_steps" / "steps.py"
    path.parent.mkdir()

    def walk(body: str):
        path.write_text(f"from numba import njit\n\n\n@njit(cache=True)\ndef step(x):\n    {body}\n")
        module = ModuleType("hw9_steps_steps")
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        lay_over(module, path, "steps_reference", [Hole("steps", "step", "hw9.1")])
        return module.walk

    assert walk("return x")(4) == 6
    assert walk("return -x")(4) == -6
    again = walk("return -x")
    assert again(4) == -6 and sum(again.stats.cache_hits.values()) == 1
