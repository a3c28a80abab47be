"""Types of the commands' options, for ``add_argument``: argparse puts the option's name before their errors."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

MOST = 10**9  # of anything that is counted
LARGEST = 3e38  # in float32, in which the networks compute


def text(value: str) -> str:
    """Any text that is not empty: ``--out "$DIR"`` with an unset variable is a mistake. The default type of options."""
    if not value:
        raise ArgumentTypeError("expected a word, got an empty one")
    return value


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """A whole number from ``least`` to ``most``."""

    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            number = None
        if number is None or not least <= number <= most:
            raise ArgumentTypeError(f"expected a whole number from {least} to {most}, got {value[:40]!r}")
        return number

    return parse


seed = whole(0, 2**64 - 1)
side = whole(1, 1 << 14)  # of an image that is made without a check of the memory


def number(most: float, zero: bool = False) -> Callable[[str], float]:
    """A number above zero (or zero, with ``zero``) up to ``most``."""

    def parse(value: str) -> float:
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not (0 <= found <= most) or (found == 0 and not zero):
            least = "from" if zero else "above"
            raise ArgumentTypeError(f"expected a number {least} 0 to {most:g}, got {value[:40]!r}")
        return found

    return parse


def secret(value: str) -> str:
    """A secret, or ``@FILE`` with the file that holds it, which other users of the machine do not read in ``ps``."""
    if not value.startswith("@"):
        return text(value)
    try:
        found = Path(value[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentTypeError(f"expected a text file with the secret, {error}") from None
    if not found:
        raise ArgumentTypeError(f"expected a secret in {value[1:]}, which is empty")
    return found


def device(value: str) -> str:
    """The name of a device."""
    from ..devices import device as Device

    try:
        return str(Device(value))
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
