"""Softmax and its logarithm, by loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given

import minicnn
import minicnn.nn.functional as F
from tests.library.support import oracles
from tests.library.support.cases.elementwise import along


@given(drawn=along())
def test_softmax_and_log_softmax(drawn):
    (x,), options = drawn
    soft, log = (getattr(F, name)(minicnn.tensor(x), **options).numpy() for name in ("softmax", "log_softmax"))
    expected = np.apply_along_axis(oracles.log_softmax, options["dim"], x)
    np.testing.assert_allclose(log, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(soft, np.exp(expected), rtol=1e-12)
