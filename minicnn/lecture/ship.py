"""For those who change a figure: put a result that was computed in full among the shipped ones.

    minicnn lecture NAME --fresh
    python -m minicnn.lecture.ship NAME figures/cache/NAME-*.npz --seconds 18

with the seconds that the first command says that it took, on this machine. Then ``python docs/images/draw.py`` draws
the pictures of the documentation again.
"""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

import numpy as np

from .. import __version__
from ..bench.machine import available_cores, processor_name
from . import cache, figure, shipped


def main() -> None:
    """Put a result of the cache among the shipped ones."""
    parser = argparse.ArgumentParser(prog="python -m minicnn.lecture.ship", description=main.__doc__)
    parser.add_argument("name", help="of the figure")
    parser.add_argument("result", type=Path, help="its file in a cache")
    parser.add_argument("--seconds", type=float, required=True, help="that it took to compute")
    parser.add_argument("--threads", type=int, default=1, help="that computed it (default: 1)")
    args = parser.parse_args()
    chosen = figure(args.name)
    date = datetime.fromtimestamp(args.result.stat().st_mtime).date().isoformat()
    shipped.write(chosen, cache.read(args.result, chosen.result), _here(args.seconds, date, args.threads))
    print(f"{chosen.name}: {(shipped.RESULTS / chosen.name).with_suffix('.npz').stat().st_size} bytes")


def _here(seconds: float, date: str, threads: int) -> shipped.Origin:
    """The origin of what was computed on this machine."""
    return shipped.Origin(
        date, round(seconds, 1), processor_name(), available_cores(), threads, __version__, np.__version__
    )


if __name__ == "__main__":
    main()
