"""Cutting holes: only bodies go, everything comes back byte for byte, and private helpers do not give answers away."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

import minicnn
from minicnn.course.holes import HoleError, body_span, cut, find, has_specification, is_untouched, orphans
from minicnn.course.manifest import Hole

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
    """One hole at a time, and all at once: the rest of the file stays, and restoring gives the bytes back."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    holes = []
    for name, node in functions(tree).items():
        try:
            body_span(source, node)
        except HoleError:
            continue  # a single line, or a docstring alone
        holes.append(Hole("toy", name, "hw9.1"))
    for hole in holes[::4]:
        made = cut(source, [hole], HANDOUT)
        assert made.restore(made.stub) == source
    made = cut(source, holes, HANDOUT)
    assert made.restore(made.stub) == source
    stub = ast.parse(made.stub)
    for hole in holes:
        before, after = find(tree, hole.qualname), find(stub, hole.qualname)
        assert ast.dump(before.args) == ast.dump(after.args)
        assert list(map(ast.dump, before.decorator_list)) == list(map(ast.dump, after.decorator_list))
        assert ast.get_docstring(before) == ast.get_docstring(after)
        assert len(after.body) == 1 + (ast.get_docstring(before) is not None)
    for hole in holes[:2]:
        assert is_untouched(made.stub, hole) and not is_untouched(source, hole)


TOY = textwrap.dedent(
    '''
    """A module."""

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
        # another one behind the end


    def other(x):
        return _shared(x)


    def _shared(x):
        """Used outside too: it stays."""
        return x


    class Box:
        """A box."""

        @property
        def size(self):
            return self._measure()

        def _measure(self):
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
    stub = cut(TOY, [hole], HANDOUT).stub
    assert textwrap.dedent(
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


        def other(x):
        '''
    ).strip() in stub  # fmt: skip
    assert "comment that tells" not in stub and "another one behind" not in stub


def test_helpers_that_only_holes_use_are_cut_with_their_comments_and_decorators():
    made = cut(TOY, [Hole("toy", "public", "hw9.1")], HANDOUT)
    assert made.helpers == ("_twice", "_deeper")
    assert "_twice" not in made.stub and "_deeper" not in made.stub and "what this helps with" not in made.stub
    assert "def _shared" in made.stub and "def _third" in made.stub
    assert made.restore(made.stub) == TOY


def test_a_chain_of_private_helpers_goes_with_the_last_hole_that_needs_it():
    holes = [Hole("toy", name, "hw9.1") for name in ("public", "Box.size")]
    made = cut(TOY, holes, HANDOUT)
    assert made.helpers == ("_measure", "_twice", "_deeper", "_third")
    assert made.restore(made.stub) == TOY
    assert made.stub.endswith("\n") and not made.stub.endswith("\n\n")  # the end of the file was cut


def test_a_helper_of_a_helper_that_stays_stays():
    functions = (
        "def _a():\n    return _b()",
        "def _b():\n    return 1",
        "def hole():\n    x = 1\n    return _b() + x",
        "X = _a\n",
    )
    source = "\n\n\n".join(functions)
    tree = ast.parse(source)
    assert orphans(tree, [find(tree, "hole")]) == []


def test_decorated_numba_functions_keep_their_decorator():
    source = 'from numba import njit\n\n\n@njit(cache=True)\ndef f(x):\n    """Twice."""\n    return 2 * x\n'
    stub = cut(source, [Hole("toy", "f", "hw9.1")], HANDOUT).stub
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
        cut(source, [Hole("toy", name, "hw9.1")], HANDOUT)


def test_a_method_may_be_specified_by_its_class():
    tree = ast.parse('class A:\n    """Doc."""\n\n    def f(self):\n        return 1\n\n\ndef g():\n    return 1\n')
    assert has_specification(tree, "A.f") and not has_specification(tree, "g")


def test_a_body_begins_behind_a_signature_of_many_lines():
    source = "def f(\n    a,  # first\n    b: int = 1,\n) -> dict[\n    str, int\n]:\n    # body\n    return {}\n"
    assert body_span(source, find(ast.parse(source), "f")) == (6, 8)


@pytest.mark.parametrize("text", ["def broken(:\n", "", "def f():\n    raise NotImplementedError\n", "\x00"])
def test_files_of_any_kind_are_not_untouched(text):
    assert not is_untouched(text, Hole("toy", "f", "hw9.1"))
