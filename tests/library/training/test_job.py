"""A whole run from one configuration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from minicnn.training import Job, make_config
from minicnn.training.job import one_blas_thread
from tests.library.support.runs import blobs
from tests.library.support.tiny_training import register_tinynet


def tiny_job(**overrides: Any) -> Job:
    register_tinynet()
    return Job(make_config("tinynet", epochs=1, batch_size=256, **overrides))


def test_the_initial_weights_are_the_seeds() -> None:
    first, again, other = (tiny_job(seed=seed).model.state_dict()["0.weight"].numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_a_job_trains_on_full_shuffled_batches_and_evaluates_on_every_image() -> None:
    job = tiny_job(seed=1)
    sizes = [len(targets) for _, targets in job.trainer.train_loader]
    assert sizes == [256] * 4  # of 1260
    assert job.steps_per_epoch == 4
    orders = [job.trainer.train_loader.order(epoch).tolist() for epoch in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(1260))
    assert [len(targets) for _, targets in job.trainer.validation_loader] == [179]


def test_few_images_are_one_batch_that_is_not_full() -> None:
    job = tiny_job()
    assert len(job._loader(blobs(9, 0), shuffle=True)) == 1


def test_every_seed_is_tested_on_the_same_images() -> None:
    a, b = (tiny_job(seed=seed).data for seed in (1, 2))
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
