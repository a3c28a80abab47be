"""Names of files and folders: as they are given, and as messages may show them."""

from __future__ import annotations

import os


def expanded(path: str | bytes | os.PathLike) -> str:
    """``path`` as text, a leading ``~`` replaced by the home folder.

    Raises:
        TypeError: for anything that is not a path.
    """
    return os.path.expanduser(os.fsdecode(path))


def printable(name: object) -> str:
    """``name`` on one line without control characters: it may come from a disk or file that is not trusted."""
    text = str(name)
    return text if text.isprintable() else ascii(text)[1:-1]
