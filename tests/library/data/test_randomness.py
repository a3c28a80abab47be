"""Where random numbers come from: a seed, a generator, or the default stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import minicnn
from minicnn.data.randomness import numpy_generator
from tests.library.support.strategies import SEEDS


@given(seed=SEEDS)
def test_a_seed_is_a_stream_of_its_own_and_generators_go_on(seed):
    draws = [numpy_generator(kind(seed)).random() for kind in (int, np.int64, np.random.default_rng)]
    assert draws[0] == draws[1] == draws[2] == np.random.default_rng(seed).random()
    own, ours = np.random.default_rng(seed), minicnn.Generator().manual_seed(seed)
    assert numpy_generator(own) is own and numpy_generator(ours) is ours.numpy


@given(seed=SEEDS)
def test_none_is_the_default_stream(seed):
    minicnn.manual_seed(seed)
    first = numpy_generator(None).random(2)
    minicnn.manual_seed(seed)
    np.testing.assert_array_equal([numpy_generator(None).random() for _ in range(2)], first)


def test_anything_else_is_refused():
    with pytest.raises(TypeError, match="expected a seed, a generator or None, got str"):
        numpy_generator("7")
