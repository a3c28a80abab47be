"""Homework 2, norm.py: the holes, filled in another way."""

import numpy as np


def batch_norm(x, weight, bias, eps):
    y = np.empty_like(x)
    mean, variance, inv_std = (np.empty(x.shape[1], x.dtype) for _ in range(3))
    for channel in range(x.shape[1]):
        values = x[:, channel]
        mean[channel] = np.mean(values)
        variance[channel] = np.mean((values - mean[channel]) ** 2)
        inv_std[channel] = (variance[channel] + eps) ** -0.5
        gamma = 1 if weight is None else weight[channel]
        beta = 0 if bias is None else bias[channel]
        y[:, channel] = gamma * (values - mean[channel]) * inv_std[channel] + beta
    return y, mean, variance, inv_std


def batch_norm_grad(dy, x, weight, mean, inv_std):
    # The three roads of Ioffe and Szegedy, section 3: through x_hat, the variance and the mean.
    d_x = np.empty_like(x)
    d_weight, d_bias = np.empty(x.shape[1], x.dtype), np.empty(x.shape[1], x.dtype)
    for channel in range(x.shape[1]):
        cotangent, centred = dy[:, channel], x[:, channel] - mean[channel]
        d_bias[channel] = cotangent.sum()
        d_weight[channel] = np.sum(cotangent * centred) * inv_std[channel]
        d_hat = cotangent if weight is None else cotangent * weight[channel]
        d_variance = -0.5 * inv_std[channel] ** 3 * np.sum(d_hat * centred)
        d_mean = -inv_std[channel] * np.sum(d_hat) - 2 * d_variance * centred.mean()
        d_x[:, channel] = d_hat * inv_std[channel] + (2 * d_variance * centred + d_mean) / centred.size
    return d_x, d_weight, d_bias
