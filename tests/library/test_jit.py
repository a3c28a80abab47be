"""The names of PyTorch's compiler (``minicnn.jit``) change nothing."""

from __future__ import annotations

from minicnn import jit


def test_marks_of_the_compiler_change_nothing() -> None:
    def function(x: int) -> int:
        return x + 1

    assert not jit.is_scripting() and not jit.is_tracing()
    for mark in (jit.unused, jit.ignore, jit.ignore(drop=True), jit.export, jit._overload_method):
        assert mark(function) is function
