"""The error for data that cannot be used."""

from __future__ import annotations


class DataError(ValueError):
    """A data set is missing, incomplete or damaged, or its name is unknown; the message is one line."""
