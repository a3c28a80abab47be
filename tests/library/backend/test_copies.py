"""Copies of arrays between devices: the same numbers, in memory of their own, on the device that was asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from minicnn import backend
from minicnn.backend.copies import copied, moved
from minicnn.devices import device
from minicnn.errors import DeviceError
from tests.library.support.cuda import fakecupy

PLACES = {name: device(name) for name in ("cpu", "cuda:0", "cuda:1")}


@pytest.fixture(autouse=True)
def two_gpus() -> Iterator[None]:
    with fakecupy.installed(devices=2):
        yield


def array_on(place: device) -> object:
    return backend.get(place).to_device(np.arange(6.0).reshape(2, 3))


def place_of(array: object) -> str:
    return "cpu" if isinstance(array, np.ndarray) else f"cuda:{array.device.id}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("target", PLACES)
@pytest.mark.parametrize("source", PLACES)
def test_an_array_moves_with_its_numbers(source: str, target: str) -> None:
    array = array_on(PLACES[source])
    here, there = PLACES[source], PLACES[target]
    found = copied(array, here) if source == target else moved(array, here, there)
    assert place_of(found) == target
    backend.get(PLACES[source])
    array[...] = 0  # type: ignore[index]
    numbers = backend.get(PLACES[target]).to_host(found)
    np.testing.assert_array_equal(numbers, np.arange(6.0).reshape(2, 3))


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(DeviceError, match=r"cuda:0 \.\.\. cuda:1, got cuda:2"):
        moved(np.zeros(2), PLACES["cpu"], device("cuda:2"))
