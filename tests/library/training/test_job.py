"""A whole run from one configuration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from minicnn.data import DataSource
from minicnn.training import Trainer, make_config
from minicnn.training.job import loader, one_blas_thread, open_training
from tests.library.support.runs import blobs
from tests.library.support.tiny_training import register_tinynet


def tiny_training(**overrides: Any) -> tuple[DataSource, Trainer]:
    register_tinynet()
    return open_training(make_config("tinynet", epochs=1, batch_size=256, **overrides), compiled=True)


def test_the_initial_weights_are_the_seeds() -> None:
    first, again, other = (tiny_training(seed=seed)[1].model.state_dict()["0.weight"].numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_a_job_trains_on_full_shuffled_batches_and_evaluates_on_every_image() -> None:
    _, trainer = tiny_training(seed=1)
    sizes = [len(targets) for _, targets in trainer.train_loader]
    assert sizes == [256] * 4  # of 1260
    orders = [trainer.train_loader.order(epoch).tolist() for epoch in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(1260))
    assert [len(targets) for _, targets in trainer.validation_loader] == [179]


def test_few_images_are_one_batch_that_is_not_full() -> None:
    assert len(loader(make_config("tinynet", batch_size=256), blobs(9, 0), shuffle=True)) == 1


def test_every_seed_is_tested_on_the_same_images() -> None:
    a, b = (tiny_training(seed=seed)[0] for seed in (1, 2))
    np.testing.assert_array_equal(a.test.images, b.test.images)
    np.testing.assert_array_equal(a.train.labels, b.train.labels)


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_a_training_uses_one_blas_thread_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    if not blas_threads():
        pytest.skip("NumPy's BLAS here has no threads that can be counted")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with threadpool_limits(2, user_api="blas"):
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {2}
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
        with one_blas_thread():
            assert blas_threads() == {2}
