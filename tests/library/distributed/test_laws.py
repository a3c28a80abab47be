"""The laws of ``laws.py`` on two and on three real processes."""

from __future__ import annotations

import json

import pytest

from tests.library.distributed.laws import LAWS
from tests.library.support.mpi import mpiexec, needs_mpi

LONG = {
    "the_gradients_of_random_networks_are_those_of_one_process",
    "the_gradients_of_architectures_are_those_of_one_process",
}
QUICK = sorted(LAWS.keys() - LONG)


def check(ranks: int, *names: str) -> dict[str, str | None]:
    status, out, error = mpiexec(ranks, "-m", "tests.library.distributed.laws", *names)
    assert status == 0, error
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def on_two() -> dict[str, str | None]:
    return check(2, *QUICK)


@needs_mpi
@pytest.mark.parametrize("name", QUICK)
def test_law_on_two_ranks(on_two: dict[str, str | None], name: str) -> None:
    assert on_two[name] is None, on_two[name]


@needs_mpi
@pytest.mark.slow(seconds=5)
def test_laws_on_three_ranks() -> None:
    assert check(3, *QUICK) == dict.fromkeys(QUICK)


@needs_mpi
@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize("ranks", [2, 3])
def test_random_networks(ranks: int) -> None:
    name = "the_gradients_of_random_networks_are_those_of_one_process"
    assert check(ranks, name) == {name: None}


@needs_mpi
@pytest.mark.slow(seconds=60)
def test_architectures() -> None:
    name = "the_gradients_of_architectures_are_those_of_one_process"
    assert check(2, name) == {name: None}
