"""``minicnn compare``: runs side by side."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

from ._errors import UsageError, misuse, printable

OUT = "comparison.html"
HELP = "show runs side by side: their curves, accuracies, costs and settings, on one page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs, and where the page goes."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders, two or more; they need not be finished")
    parser.add_argument("--out", default=OUT, metavar="FILE", help=f"the page (default: {OUT})")
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Read the runs, write the page, and print a table."""
    from ..evaluation.comparison import compare
    from ..evaluation.comparison_page import page
    from ..evaluation.comparison_report import as_dict, lines
    from ..terminal import fill, painter, whole
    from ..utils.page import write_page

    with misuse():
        if Path(args.out).is_dir():
            raise UsageError(f"--out: {args.out} is a folder, expected the name of a file")
        comparison = compare(args.runs)
    written = write_page(args.out, page(comparison, shlex.join(["minicnn", "compare", *args.runs])))
    if args.json:
        print(json.dumps(as_dict(comparison), allow_nan=False))
        return 0
    print(*lines(comparison, painter()), sep="\n")
    print(fill(f"page: {whole(printable(written))}"))
    return 0
