"""Operators on integers: Python's results, wrapped into the dtype's range, and what is refused."""

from __future__ import annotations

import operator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minicnn

INT8 = st.integers(-128, 127)
WITH_NUMBERS = [operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod]
WITH_BITS = [operator.and_, operator.or_, operator.xor]


def wrapped(number: int) -> int:
    return (number + 128) % 256 - 128


@pytest.mark.parametrize("operation", [*WITH_NUMBERS, *WITH_BITS])
@given(a=INT8, b=INT8)
def test_results_are_pythons_modulo_the_range(operation, a, b):
    divides = operation in (operator.floordiv, operator.mod)
    assume(not divides or (b != 0 and (a, b) != (-128, -1)))
    x, y = (minicnn.tensor([value], dtype=minicnn.int8) for value in (a, b))
    expected = [wrapped(operation(a, b))]
    assert operation(x, y).tolist() == operation(x, b).tolist() == operation(a, y).tolist() == expected
    assert operation(x, y).dtype == operation(x, b).dtype == minicnn.int8


@given(a=INT8, number=st.integers(-1000, 1000))
def test_python_numbers_beyond_the_range_wrap_around(a, number):
    x = minicnn.tensor([a], dtype=minicnn.int8)
    assert (x + number).tolist() == [wrapped(a + number)]
    assert (x * number).tolist() == [wrapped(a * number)]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: x // 0, ZeroDivisionError, "floor_divide: an integer divided by 0"),
        (lambda x: x % (x * 0), ZeroDivisionError, "remainder: an integer divided by 0"),
        (lambda x: x**-1, ValueError, "negative power"),
        (lambda x: (x > 0) - (x > 1), TypeError, "sub: expected numbers, got bools"),
        (lambda x: x.float() & 1, TypeError, "expected integers or bools, got floating point"),
    ],
)
def test_what_has_no_integer_result_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call(minicnn.tensor([1, 2]))
