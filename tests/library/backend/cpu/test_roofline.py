"""The roofs are measured."""

from __future__ import annotations

from minicnn.bench.machine import using_threads


def test_the_roofs_are_measured() -> None:
    from minicnn.backend.cpu.roofline import measure_bandwidth, measure_peak

    with using_threads(1):
        assert 1e8 < measure_peak(0.001) < 1e13
        assert 1e7 < measure_bandwidth(0.001, mebibytes=1) < 1e13
