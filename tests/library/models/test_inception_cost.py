"""Multiply-adds counted by hand: the same as ``minicnn.nn.summary`` counts, and those of the paper's Table 1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn import nn
from minicnn.models.googlenet import TABLE_1, Inception, NaiveInception, Row
from minicnn.models.inception_cost import conv_multiply_adds, inception_multiply_adds, naive_multiply_adds
from minicnn.nn.summary import summary


@given(
    groups=st.integers(1, 3),
    channels=st.integers(1, 3),
    kernels=st.integers(1, 3),
    kernel_size=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    size=st.tuples(st.integers(7, 12), st.integers(7, 12)),
)
def test_a_convolution_costs_what_summary_counts(groups, channels, kernels, kernel_size, size, **options):
    shape, out_channels = (groups * channels, *size), groups * kernels
    layer = nn.Conv2d(shape[0], out_channels, kernel_size, groups=groups, **options)
    counted = conv_multiply_adds(shape, out_channels, kernel_size, groups=groups, **options)
    assert counted == summary(layer, shape).multiply_adds


MODULES = [(row, before) for before, row in zip(TABLE_1, TABLE_1[1:], strict=False) if row.filters is not None]


@pytest.mark.parametrize(("row", "before"), MODULES, ids=lambda row: row.here[0])
def test_the_modules_of_table_1(row: Row, before: Row) -> None:
    """By hand, in the table here, by running the module: one number. The paper's M is rounded, and 5a's a slip."""
    channels, side = before.output
    shape = channels, side, side
    counted = inception_multiply_adds(shape, *row.filters)
    assert counted == row.multiply_adds == summary(Inception(channels, *row.filters), shape).multiply_adds
    if row.here != ("inception5a",):
        assert counted == pytest.approx(row.paper_ops * 1e6, rel=0.01)


def test_the_naive_module_costs_more_than_twice_as_much() -> None:
    """Module 3a with and without reductions (L2.1.2)."""
    counted = naive_multiply_adds((192, 28, 28), 64, 128, 32)
    assert counted == summary(NaiveInception(192, 64, 128, 32), (192, 28, 28)).multiply_adds == 303_464_448
    assert counted / inception_multiply_adds((192, 28, 28), 64, 96, 128, 16, 32, 32) == pytest.approx(2.37, abs=0.01)
