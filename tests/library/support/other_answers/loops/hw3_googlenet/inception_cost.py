"""Homework 3, inception_cost.py: the holes, filled in another way."""


def conv_multiply_adds(input_shape, out_channels, kernel_size, stride, padding, dilation, groups):
    channels, height, width = input_shape

    def places(side: int) -> int:
        """How often the kernel fits: its first pixel moves from -padding on, its last one stays in the padded image."""
        last = side + padding - 1
        reach = dilation * (kernel_size - 1)
        return sum(1 for start in range(-padding, last + 1, stride) if start + reach <= last)

    weights = (out_channels // groups) * (channels // groups) * kernel_size * kernel_size * groups
    return weights * places(height) * places(width)


def naive_multiply_adds(input_shape, ch1x1, ch3x3, ch5x5):
    channels, height, width = input_shape
    return height * width * channels * (ch1x1 + 9 * ch3x3 + 25 * ch5x5)


def inception_multiply_adds(input_shape, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
    channels, height, width = input_shape
    pointwise = channels * (ch1x1 + ch3x3red + ch5x5red + pool_proj)
    return height * width * (pointwise + 9 * ch3x3red * ch3x3 + 25 * ch5x5red * ch5x5)
