"""Names of classes: ImageNet's thousand, and those in a text file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..paths import expanded
from .errors import DataError

IMAGENET_FILE = Path(__file__).with_name("imagenet_labels.txt")


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The names of ILSVRC's 1000 classes, in the order of the logits of every published network."""
    return read_labels(IMAGENET_FILE)


def read_labels(path: str | Path) -> tuple[str, ...]:
    """The names in a text file (UTF-8), one per line, in the order of the classes; empty lines are skipped.

    Raises:
        DataError: if the file is missing, not text, or contains no name.
    """
    try:
        lines = Path(expanded(path)).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"label file {str(path)!r}: expected text (UTF-8) with a class name on each line") from None
    except OSError as error:
        raise DataError(f"label file {str(path)!r}: {error.strerror or error}") from error
    labels = tuple(line.strip() for line in lines if line.strip())
    if not labels:
        raise DataError(f"label file {str(path)!r}: there is no class name in it")
    return labels
