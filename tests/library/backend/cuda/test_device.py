"""The CUDA backend's own primitives, and that none is missing."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from minicnn.backend.cuda.device import CudaBackend
from minicnn.backend.reference import ReferenceBackend
from tests.library.support.cuda.agreement import DTYPES
from tests.library.support.strategies import SEEDS


def test_random_words_are_philox(cuda):
    """The generator's published answer for key 0 and counter 0 [Salmon et al., 2011], and distinct ones after it."""
    words = cuda.xp.empty((9, 4), "uint32")
    cuda.launch("random", "random_words", np.float32, 9, words, 0)
    found = cuda.to_host(words)
    assert [f"{word:08x}" for word in found[0]] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    assert len(np.unique(found)) == found.size


@given(SEEDS, DTYPES)
def test_scatter_add(cuda, seed, dtype):
    rng = np.random.default_rng(seed)
    index, values = rng.integers(0, 3, (2, 10)), rng.standard_normal(10).astype(dtype)
    expected = np.zeros((3, 3), dtype)
    np.add.at(expected, tuple(index), values)
    target = cuda.xp.zeros((3, 3), dtype)
    cuda.scatter_add(target, tuple(map(cuda.to_device, index)), cuda.to_device(values))
    np.testing.assert_allclose(cuda.to_host(target), expected, 1e-5, 1e-6)


def test_no_primitive_is_missing():
    primitives = {name for name in vars(ReferenceBackend) if not name.startswith("_")}
    assert primitives <= set(dir(CudaBackend)) | {"xp", "fused"}  # which an instance has
