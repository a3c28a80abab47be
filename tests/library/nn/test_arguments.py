"""What layers are constructed with is checked, and quoted."""

from __future__ import annotations

import pytest

from minicnn import nn


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, r"in_channels \(=3\) .* divisible by groups \(=2\)"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, r"out_channels \(=3\) .* by groups \(=2\)"),
        (lambda: nn.Conv2d(4, 4, 3, groups=0), ValueError, r"groups \(=0\) to be at least 1"),
        (lambda: nn.Conv2d(0, 4, 3), ValueError, r"in_channels \(=0\) to be at least 1"),
        (lambda: nn.Conv2d(4, 4, 0), ValueError, r"kernel_size \(=0\) to be at least 1"),
        (lambda: nn.Conv2d(4, 4, (3, 3, 3)), ValueError, r"pair .* as kernel_size, got \(3, 3, 3\)"),
        (lambda: nn.Conv2d(4, 4, 2.5), TypeError, "integer as kernel_size, got 2.5"),
        (lambda: nn.Conv2d(4, 4, 3, stride=(1, 0)), ValueError, r"stride \(=0\) to be at least 1"),
        (lambda: nn.Conv2d(4, 4, 3, padding=-1), ValueError, r"padding \(=-1\) to be at least 0"),
        (lambda: nn.Conv2d(4, 4, 3, padding="full"), ValueError, "as padding, got 'full'"),
        (lambda: nn.Conv2d(4, 4, 3, 2, "same"), ValueError, r"needs stride 1: with stride=\(2, 2\)"),
        (lambda: nn.Conv2d(4, 4, 3, padding_mode="reflect"), ValueError, "'zeros'.* got 'reflect'"),
        (lambda: nn.Linear("8", 2), TypeError, "integer as in_features, got '8'"),
        (lambda: nn.Linear(8, -2), ValueError, r"out_features \(=-2\)"),
        (lambda: nn.BatchNorm2d(0), ValueError, r"num_features \(=0\)"),
        (lambda: nn.GroupNorm(3, 4), ValueError, r"num_channels \(=4\) .* by num_groups \(=3\)"),
        (lambda: nn.LocalResponseNorm(0), ValueError, r"size \(=0\)"),
        (lambda: nn.MaxPool2d((2, 0)), ValueError, r"kernel_size \(=0\)"),
        (lambda: nn.MaxPool2d(2, dilation=0), ValueError, r"dilation \(=0\)"),
        (lambda: nn.MaxPool2d(2, padding=-1), ValueError, r"padding \(=-1\)"),
        (lambda: nn.AvgPool2d(2, stride=0), ValueError, r"stride \(=0\)"),
        (lambda: nn.AdaptiveAvgPool2d(-1), ValueError, r"output_size \(=-1\)"),
        (lambda: nn.Dropout(1.5), ValueError, r"p \(=1.5\) to be between 0 and 1"),
        (lambda: nn.Hardtanh(1.0, 1.0), ValueError, r"min_val \(=1.0\) to be below max_val \(=1.0\)"),
        (lambda: nn.CrossEntropyLoss(reduction="max"), ValueError, "as reduction, got 'max'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2), ValueError, r"label_smoothing \(=2\)"),
        (lambda: nn.CrossEntropyLoss(None, 5), TypeError, "positional"),
    ],
)
def test_constructors_check_and_quote_their_arguments(build, error, message):
    with pytest.raises(error, match=message):
        build()
