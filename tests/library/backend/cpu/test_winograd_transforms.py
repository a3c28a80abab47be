"""Winograd's matrices."""

from __future__ import annotations

import numpy as np

from minicnn.backend.cpu import winograd_transforms


def test_the_matrices_are_winograds() -> None:
    """A^T [(G g) * (B^T d)] is the correlation of 4 numbers with 3, for every pair of unit vectors."""
    g_matrix = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    for i in range(3):
        for j in range(4):
            g, d = np.eye(3)[i], np.eye(4)[j]
            found = np.array(winograd_transforms.AT) @ ((g_matrix @ g) * (np.array(winograd_transforms.BT) @ d))
            assert np.array_equal(found, np.correlate(d, g, "valid"))
