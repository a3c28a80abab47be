"""A student's edition: a copy of minicnn without the answers of a homework and of all later ones (``release/``).

``edition.json`` beside this file says which; the full library has no such file. An edition has recorded answers in the
place of the reference (``recorded.py``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FILE = "edition.json"


@dataclass(frozen=True)
class Edition:
    """``homework`` and all later ones are cut; ``variant`` is the term's name, which draws other cases."""

    homework: str
    variant: str = ""

    def is_cut(self, homework: str) -> bool:
        """Whether the answers of ``homework`` are missing."""
        return int(homework.removeprefix("hw")) >= int(self.homework.removeprefix("hw"))


def read(folder: Path) -> Edition | None:
    """The edition of the copy whose ``course`` folder this is; None for the full library."""
    path = folder / FILE
    return Edition(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


EDITION = read(Path(__file__).parent)
