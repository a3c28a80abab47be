"""Names of files and folders, as people give them and as messages may show them."""

from __future__ import annotations

import os


def expanded(path: str | bytes | os.PathLike) -> str:
    """``path`` as text, a leading ``~`` replaced by the home folder.

    Raises:
        TypeError: for anything that is no path.
    """
    return os.path.expanduser(os.fsdecode(path))


def printable(name: object) -> str:
    """``name`` on one line without what a terminal would obey: it may come from anybody's disk or file."""
    text = str(name)
    return text if text.isprintable() else ascii(text)[1:-1]
