"""As many threads as there are."""

from __future__ import annotations

import pytest

from minicnn.bench.machine import using_threads


def test_as_many_threads_as_there_are() -> None:
    import numba

    before = numba.get_num_threads()
    with using_threads(1):
        assert numba.get_num_threads() == 1
    assert numba.get_num_threads() == before
    with pytest.raises(ValueError, match="threads"), using_threads(10**6):
        pass
