"""Homework 3, inception_cost.py: the holes, filled in another way."""


def conv_multiply_adds(input_shape, out_channels, kernel_size, stride, padding, dilation, groups):
    height, width = (1 + (n + 2 * padding - dilation * (kernel_size - 1) - 1) // stride for n in input_shape[1:])
    per_group = (input_shape[0] // groups) * (out_channels // groups) * kernel_size * kernel_size
    return sum(per_group * height * width for _ in range(groups))


def naive_multiply_adds(input_shape, ch1x1, ch3x3, ch5x5):
    return sum(conv_multiply_adds(input_shape, n, k, padding=k // 2) for n, k in ((ch1x1, 1), (ch3x3, 3), (ch5x5, 5)))


def inception_multiply_adds(input_shape, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj):
    channels, height, width = input_shape
    layers = [
        (channels, ch1x1, 1),
        (channels, ch3x3red, 1),
        (ch3x3red, ch3x3, 3),
        (channels, ch5x5red, 1),
        (ch5x5red, ch5x5, 5),
        (channels, pool_proj, 1),
    ]
    return sum(conv_multiply_adds((c, height, width), n, k, padding=k // 2) for c, n, k in layers)
