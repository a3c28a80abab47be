"""The library calls a student's functions where an edition has its own cut."""

from __future__ import annotations

from types import ModuleType

import pytest

from minicnn.course.adoption import adopt
from minicnn.course.manifest import Hole

LIBRARY = """
def single(x):
    raise NotImplementedError("hw9.1 single")

class Base:
    def size(self):
        return 1

class Block(Base):
    kind = "library"

    def __init__(self, n):
        raise NotImplementedError("hw9.2 Block.__init__")

    @staticmethod
    def twice(x):
        raise NotImplementedError("hw9.3 Block.twice")

    def size(self):
        raise NotImplementedError("hw9.2 Block.size")

    def given(self):
        return self.size() + single(1)

class Wide(Block):
    pass
"""

STUDENT = """
def single(x, step=5):
    return helper(x) + step

def helper(x):
    return 10 * x

class Base:
    def size(self):
        return 1

class Block(Base):
    kind = "library"
    own = 3

    def __init__(self, n):
        super().__init__()
        self.n = n

    @staticmethod
    def twice(x):
        return 2 * x

    def size(self):
        return super().size() + self._more()

    def _more(self):
        return self.n + self.own
"""

HOLES = [Hole("toy", name, "hw9.1") for name in ("single", "Block.__init__", "Block.twice", "Block.size")]


def module(name: str, text: str) -> ModuleType:
    made = ModuleType(name)
    exec(text, made.__dict__)
    return made


@pytest.fixture
def library() -> ModuleType:
    return module("library", LIBRARY)


def test_functions_that_others_hold_call_the_students(library):
    held, tables = library.single, {"single": library.single}
    adopt(library, module("student", STUDENT), HOLES)
    assert held(2) == tables["single"](2) == library.single(2) == 25
    assert held(2, step=0) == 20


def test_methods_work_with_super_in_the_library_s_class_and_in_those_that_inherit(library):
    adopt(library, module("student", STUDENT), HOLES)
    assert library.Block(4).size() == 1 + 4 + 3
    assert library.Wide(1).given() == 1 + 1 + 3 + 15
    assert library.Block.twice(4) == 8 and isinstance(library.Block(0), library.Base)


def test_a_second_student_replaces_the_first(library):
    adopt(library, module("student", STUDENT), HOLES)
    held = library.single
    adopt(library, module("student", STUDENT.replace("10 * x", "100 * x").replace("2 * x", "3 * x")), HOLES)
    assert held(2) == 205 and library.Block.twice(4) == 12


def test_what_a_student_has_not_written_stays_cut(library):
    student = module("student", STUDENT)
    del student.single
    adopt(library, student, HOLES)
    with pytest.raises(NotImplementedError, match=r"hw9\.1 single"):
        library.single(1)
    assert library.Block(4).size() == 8


def test_a_decorated_function_is_exchanged_in_its_module():
    text = "from contextlib import contextmanager\n\n@contextmanager\ndef mode():\n    yield {value}\n"
    library = module("library", text.format(value=1))
    adopt(library, module("student", text.format(value=2)), [Hole("toy", "mode", "hw9.1")])
    with library.mode() as value:
        assert value == 2


def test_what_cannot_be_moved_to_another_class_is_left_out(library):
    text = STUDENT.replace("    own = 3\n", '    own = 3\n    __slots__ = ("n",)\n    mro = property(lambda self: 1)\n')
    adopt(library, module("student", text), HOLES)
    assert library.Block.twice(4) == 8 and library.Block(4).size() == 8
