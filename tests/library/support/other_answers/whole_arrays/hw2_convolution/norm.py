"""Homework 2, norm.py: the holes, filled in another way."""

import numpy as np


def batch_norm(x, weight, bias, eps):
    rows = x.astype(np.float64).swapaxes(0, 1).reshape(x.shape[1], -1)  # C x m
    mean, variance = rows.mean(axis=1), rows.var(axis=1)
    inv_std = np.reciprocal(np.sqrt(variance + eps))
    y = np.einsum("cm,c->cm", rows - mean[:, None], inv_std)
    if weight is not None:
        y *= weight[:, None]
    if bias is not None:
        y += bias[:, None]
    y = y.reshape(x.shape[1], x.shape[0], *x.shape[2:]).swapaxes(0, 1)
    return tuple(part.astype(x.dtype) for part in (y, mean, variance, inv_std))


def batch_norm_grad(dy, x, weight, mean, inv_std):
    # x_hat lies on a sphere around 0, orthogonal to (1, ..., 1): the Jacobian is a projection, scaled.
    channels = x.shape[1]
    rows, cotangents = (a.swapaxes(0, 1).reshape(channels, -1) for a in (x, dy))
    x_hat = (rows - mean[:, None]) * inv_std[:, None]
    m = rows.shape[1]
    d_rows = np.empty_like(rows)
    for c in range(channels):
        projection = np.eye(m) - np.full((m, m), 1 / m) - np.outer(x_hat[c], x_hat[c]) / m
        d_rows[c] = projection @ cotangents[c] * inv_std[c]
    if weight is not None:
        d_rows *= weight[:, None]
    d_x = d_rows.reshape(channels, x.shape[0], *x.shape[2:]).swapaxes(0, 1)
    return d_x, np.einsum("cm,cm->c", cotangents, x_hat), cotangents @ np.ones(m, x.dtype)
