"""Many random numbers at once do not depend on the number of cores."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn.nn import blocks, init
from tests.library.support.draws import check_normal, weight


@pytest.fixture(autouse=True)
def seeded():
    minicnn.manual_seed(7)


BLOCKWISE = [init.normal_, init.uniform_, init.trunc_normal_, init.kaiming_normal_]


@pytest.mark.parametrize("scheme", BLOCKWISE, ids=lambda scheme: scheme.__name__)
def test_large_tensors_do_not_depend_on_the_number_of_cores(scheme, monkeypatch):
    draws = []
    for cores in (1, 3):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        minicnn.manual_seed(5)
        draws.append(scheme(weight(3, blocks.BLOCK - 7)).numpy().copy())
    assert np.array_equal(draws[0], draws[1])
    minicnn.manual_seed(6)
    assert not np.array_equal(scheme(weight(3, blocks.BLOCK - 7)).numpy(), draws[0])
    assert len(np.unique(draws[0])) > 0.9 * draws[0].size  # no block repeats another; float32 has some ties


def test_blocks_are_independent_draws_of_one_distribution():
    flat = init.normal_(weight(4 * blocks.BLOCK + 1)).numpy()
    check_normal(flat, 0.0, 1.0)
    parts = flat[:-1].reshape(4, blocks.BLOCK)
    assert np.abs(np.corrcoef(parts) - np.eye(4)).max() < 5 / np.sqrt(blocks.BLOCK)
    assert flat[-1] != 0
