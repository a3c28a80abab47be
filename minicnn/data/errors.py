"""The error for data that are not what they should be."""

from __future__ import annotations


class DataError(ValueError):
    """A data set that is missing, incomplete, damaged, or asked for by a wrong name: one line says which."""
