"""Pickles of data: containers, numbers, text and NumPy arrays, as the data sets of many pages are handed out."""

from __future__ import annotations

import io
from typing import Any

from ..errors import FileFormatError
from . import numpy_pickle
from .pickle_machine import PickleMachine

WHAT = "a file of data"


def read_plain_pickle(content: bytes | bytearray | memoryview) -> Any:
    """The object in a pickle of any protocol, also one that Python 2 wrote; nothing in it is run.

    Text and bytes that Python 2 wrote are text, each byte a character of the same number (Latin-1).

    Raises:
        FileFormatError: for a pickle that is damaged, or asks for more than containers, numbers, text and NumPy arrays
            of numbers. Its message does not name the file.
    """
    machine = PickleMachine(numpy_pickle.NAMES, numpy_pickle.BUILDERS, _nothing_outside, what=WHAT, advice="")
    return machine.read(io.BytesIO(content), len(content))


def _nothing_outside(_: Any) -> None:
    raise FileFormatError("refused: its pickle refers to something outside; nothing was run")
