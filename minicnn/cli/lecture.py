"""``minicnn lecture``: the lecture's figures, each computed by one command."""

from __future__ import annotations

import argparse
import sys
import time

HELP = "list the lecture's figures, or compute one: table, PNG, SVG and CSV"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The figure and how to compute it."""
    parser.add_argument("figure", nargs="?", metavar="FIGURE", help="the figure's name, or all; none lists them")
    parser.add_argument("--out", default="figures", metavar="DIR", help="where to write (default: figures)")
    parser.add_argument("--quick", action="store_true", help="a smaller experiment, half a minute at most")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (default: 0)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default) or cuda:N")
    parser.add_argument(
        "--data",
        default="digits",
        metavar="DATA",
        help="for degradation: digits (default), cifar10:DIR, cifar100:DIR, folder:DIR",
    )
    parser.add_argument("--fresh", action="store_true", help="compute again what is in DIR/cache")
    parser.add_argument("--quiet", action="store_true", help="print only the table and what was seen")


def run(args: argparse.Namespace) -> int:
    """List the figures, or compute one or all of them."""
    from ..lecture import figure, figure_names
    from ._errors import misuse

    if args.figure is None:
        figures = [figure(name) for name in figure_names()]
        for entry in sorted(figures, key=lambda entry: entry.lecture):
            print(f"{entry.name:<12} {', '.join(entry.lecture):<16} {entry.claim}")
        return 0
    with misuse():
        names = figure_names() if args.figure == "all" else [args.figure]
        figures = [figure(name) for name in names]
    for entry in figures:
        _show(entry, args)
    return 0


def _show(entry, args: argparse.Namespace) -> None:  # type: ignore[no-untyped-def]
    from ..lecture import Settings
    from ..lecture import run as run_figure

    started = time.perf_counter()

    def tell(line: str) -> None:
        if not args.quiet:
            print(f"[{time.perf_counter() - started:5.1f} s] {line}", file=sys.stderr, flush=True)

    settings = Settings(args.quick, args.seed, args.device, tell, args.data)
    data, cached = run_figure(entry, args.out, settings, use_cache=not args.fresh)
    header, rows = entry.table(data)
    lines = [list(map(str, line)) for line in (header, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    print(f"{entry.name} ({', '.join(entry.lecture)}): {entry.claim}")
    for line in lines:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print(f"seen: {entry.verdict(data)}")
    source = "from the cache" if cached else f"in {time.perf_counter() - started:.0f} s"
    tell(
        f"{entry.name} {source}; written to {args.out}/{entry.name}{'-quick' if args.quick else ''}.png, .svg and .csv"
    )
