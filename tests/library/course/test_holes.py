"""Cutting holes: a stub is a slice, only bodies go from it, and private helpers do not give answers away."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

import minicnn
from minicnn.course.holes import (
    HoleError,
    body,
    body_span,
    cut,
    fill,
    find,
    has_specification,
    is_untouched,
    orphans,
    slice_of,
)
from minicnn.course.manifest import Hole, reference_source

PACKAGE = Path(minicnn.__file__).parent
HANDOUT = "assignments/hw9_toy/README.md"


def functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """Every function and method of a module whose name is there once, by qualified name."""
    found: dict[str, list[ast.FunctionDef]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    found.setdefault(f"{node.name}.{part.name}", []).append(part)
    return {name: nodes[0] for name, nodes in found.items() if len(nodes) == 1}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_function_of_the_library_can_be_cut_and_put_back(path):
    """One hole at a time, and all at once: with the bodies back the definitions are the module's own."""
    module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    source = reference_source(module)
    tree, own = ast.parse(source), definitions(source)
    holes = []
    for name, node in functions(tree).items():
        try:
            body_span(source, node)
        except HoleError:
            continue  # a single line, or a docstring alone
        holes.append(Hole("toy", name, "hw9.1"))
    for chosen in [*([hole] for hole in holes[::6]), holes]:
        stub = cut(source, module, chosen, HANDOUT)
        whole = definitions(fill(stub, {hole.qualname: body(source, hole.qualname) for hole in chosen}))
        assert whole == {name: own[name] for name in definitions(stub)}
    made = ast.parse(stub)
    for hole in holes:
        before, after = find(tree, hole.qualname), find(made, hole.qualname)
        assert ast.dump(before.args) == ast.dump(after.args)
        assert list(map(ast.dump, before.decorator_list)) == list(map(ast.dump, after.decorator_list))
        assert ast.get_docstring(before) == ast.get_docstring(after)
        assert len(after.body) == 1 + (ast.get_docstring(before) is not None)
    for hole in holes[:2]:
        assert is_untouched(stub, hole) and not is_untouched(source, hole)


def definitions(source: str) -> dict[str, str]:
    """The functions and classes of a module, by name, without their positions."""
    return {node.name: ast.dump(node) for node in ast.parse(source).body if hasattr(node, "name")}


TOY = textwrap.dedent(
    '''
    """A module."""

    import math

    import numpy as np

    __all__ = ["public"]


    def public(x):
        """Twice, then once more.

        Args:
            x: numbers.
        """
        # a comment that tells
        y = _twice(x)

        def inner(z):
            return z + 1

        return inner(_shared(y))
        # another one after the end


    def other(x):
        return _shared(x)


    def _shared(x):
        """Used outside too: it stays."""
        return x


    class Box:
        """A box."""

        @property
        def size(self):
            return _measure(self)


    def _measure(box):
        return _third()


    # what this helps with
    @np.vectorize
    def _twice(x):
        return _deeper(x)


    def _deeper(x):
        return 2 * x


    def _third():
        return 3
    '''
).lstrip("\n")


def test_a_stub_keeps_the_specification_and_loses_the_body_with_its_comments():
    hole = Hole("toy", "public", "hw9.1", ("First double.", "", "  Then add."))
    stub = cut(TOY, "toy", [hole], HANDOUT)
    assert (
        textwrap.dedent(
            '''
        def public(x):
            """Twice, then once more.

            Args:
                x: numbers.
            """
            # First double.
            #
            #   Then add.
            raise NotImplementedError("hw9.1 public: not written yet, see assignments/hw9_toy/README.md")
        '''
        ).lstrip()
        in stub
    )
    assert "comment that tells" not in stub and "another one after" not in stub


def test_a_stub_is_the_docstring_the_imports_that_are_needed_and_the_definitions_with_holes():
    stub = cut(TOY, "toy", [Hole("toy", "Box.size", "hw9.1")], HANDOUT)
    message = "hw9.1 Box.size: not written yet, see assignments/hw9_toy/README.md"
    assert stub == textwrap.dedent(
        f'''
        """A module."""


        class Box:
            """A box."""

            @property
            def size(self):
                raise NotImplementedError("{message}")
        '''
    ).lstrip("\n")
    stub = cut(TOY, "toy", [Hole("toy", "public", "hw9.1")], HANDOUT)
    assert stub.startswith(
        '"""A module."""\n\n'
        "from typing import TYPE_CHECKING\n\n"
        "if TYPE_CHECKING:  # no import is needed: this file is laid over the module that has them\n"
        "    from toy import _shared\n\n\n"
        "def public(x):\n"
    )


def test_helpers_that_only_holes_use_come_with_the_answer_alone():
    holes = [Hole("toy", "public", "hw9.1")]
    tree = ast.parse(TOY)
    assert orphans(tree, [find(tree, "public")]) == {"_twice", "_deeper"}
    stub, answer = cut(TOY, "toy", holes, HANDOUT), slice_of(TOY, "toy", holes, with_helpers=True)
    assert "_twice" not in stub and "_deeper" not in stub and "what this helps with" not in stub
    assert "# what this helps with\n@np.vectorize\ndef _twice(x):" in answer and "import numpy as np" in answer
    assert "def _deeper" in answer and "def _shared" not in answer and "import math" not in answer


def test_a_chain_of_private_helpers_goes_with_the_last_hole_that_needs_it():
    tree = ast.parse(TOY)
    assert orphans(tree, [find(tree, name) for name in ("public", "Box.size")]) == {
        "_measure",
        "_twice",
        "_deeper",
        "_third",
    }


def test_a_helper_of_a_helper_that_stays_stays():
    functions = (
        "def _a():\n    return _b()",
        "def _b():\n    return 1",
        "def hole():\n    x = 1\n    return _b() + x",
        "X = _a\n",
    )
    source = "\n\n\n".join(functions)
    tree = ast.parse(source)
    assert orphans(tree, [find(tree, "hole")]) == set()


def test_decorated_numba_functions_keep_their_decorator():
    source = 'from numba import njit\n\n\n@njit(cache=True)\ndef f(x):\n    """Twice."""\n    return 2 * x\n'
    stub = cut(source, "toy", [Hole("toy", "f", "hw9.1")], HANDOUT)
    assert "@njit(cache=True)\ndef f(x):" in stub and "return 2 * x" not in stub


@pytest.mark.parametrize(
    "source, name",
    [
        ("def f(): return 1\n", "f"),
        ('def f():\n    """Only this."""\n', "f"),
        ("x = 1\n", "f"),
        ("def f():\n    return 1\n\n\ndef f():\n    return 2\n", "f"),
        ("class A:\n    x = 1\n", "A.f"),
        ("def f():\n    def g():\n        return 1\n    return g\n", "f.g"),
        ("class A:\n    pass\n", "A"),
    ],
)
def test_what_is_no_function_with_a_body_is_refused(source, name):
    with pytest.raises(HoleError, match=name.rpartition(".")[2]):
        cut(source, "toy", [Hole("toy", name, "hw9.1")], HANDOUT)


def test_a_method_may_be_specified_by_its_class():
    tree = ast.parse('class A:\n    """Doc."""\n\n    def f(self):\n        return 1\n\n\ndef g():\n    return 1\n')
    assert has_specification(tree, "A.f") and not has_specification(tree, "g")


def test_a_body_begins_behind_a_signature_of_many_lines():
    source = "def f(\n    a,  # first\n    b: int = 1,\n) -> dict[\n    str, int\n]:\n    # body\n    return {}\n"
    assert body_span(source, find(ast.parse(source), "f")) == (6, 8)


@pytest.mark.parametrize("text", ["def broken(:\n", "", "def f():\n    raise NotImplementedError\n", "\x00"])
def test_files_of_any_kind_are_not_untouched(text):
    assert not is_untouched(text, Hole("toy", "f", "hw9.1"))
