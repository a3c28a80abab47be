"""``minicnn lecture``: the lecture's figures, each computed by one command."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from . import _mine
from ._arguments import device, seed

if TYPE_CHECKING:  # the parser loads every command module, so imports happen only where they are needed
    from ..lecture import Figure
    from ..lecture.gallery import Entry

HELP = "list the lecture's figures, or compute one (table, PNG, SVG, CSV) or all (and a gallery page)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The figure and how to compute it."""
    parser.add_argument("figure", nargs="?", metavar="FIGURE", help="the figure's name, or all (default: list them)")
    parser.add_argument("--out", default="figures", metavar="DIR", help="where to write (default: figures)")
    parser.add_argument("--quick", action="store_true", help="a smaller experiment, half a minute at most")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of everything random (default: 0)")
    parser.add_argument("--device", type=device, default="cpu", metavar="NAME", help="cpu (default) or cuda:N")
    parser.add_argument(
        "--data",
        default="digits",
        metavar="DATA",
        help="for degradation: digits (default), cifar10:DIR, cifar100:DIR, folder:DIR",
    )
    parser.add_argument("--fresh", action="store_true", help="compute again what is in DIR/cache")
    _mine.add_argument(parser)
    parser.add_argument("--quiet", action="store_true", help="print only the table and what was seen")


def run(args: argparse.Namespace) -> int:
    """List the figures, or compute one or all of them; all of them fill the gallery."""
    from ..data import open_data
    from ..lecture import Settings, figure, figure_names
    from ._errors import UsageError, misuse

    if args.figure is None:
        figures = [figure(name) for name in figure_names()]
        for entry in sorted(figures, key=_by_line):
            print(f"{entry.name:<14} {', '.join(entry.lecture):<24} {entry.claim}")
        return 0
    with misuse():
        names = figure_names() if args.figure == "all" else [args.figure]
        figures = sorted((figure(name) for name in names), key=_by_line)
        if args.data != Settings.data:
            with misuse("--data"):
                open_data(args.data)
            if not any(entry.chooses_data for entry in figures):
                raise UsageError(f"--data: the figure {args.figure!r} has images of its own")
    with misuse("--out"):
        Path(args.out).mkdir(parents=True, exist_ok=True)
    done = []
    for number, entry in enumerate(figures, 1):
        done.append(_show(entry, args, f"{number}/{len(figures)} " if len(figures) > 1 else ""))
        if args.figure == "all":
            _write_gallery(done, args)
    return 0


def _by_line(figure: Figure) -> tuple[tuple[str, ...], str]:
    return figure.lecture, figure.name


def _show(figure: Figure, args: argparse.Namespace, number: str) -> Entry:
    """Compute one figure, or take it from the cache; print its table and what was seen."""
    from ..lecture import Settings
    from ..lecture import run as run_figure
    from ..lecture.base import stem
    from ..lecture.gallery import Entry

    started = time.perf_counter()

    def tell(line: str) -> None:
        if not args.quiet:
            print(f"[{number}{time.perf_counter() - started:5.1f} s] {line}", file=sys.stderr, flush=True)

    images = args.data if figure.chooses_data else Settings.data
    settings = Settings(args.quick, args.seed, args.device, tell, images, mine=bool(args.mine))
    data, cached = run_figure(figure, args.out, settings, use_cache=not args.fresh)
    header, rows = figure.table(data)
    lines = [list(map(str, line)) for line in (header, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    print(f"{figure.name} ({', '.join(figure.lecture)}): {figure.claim}")
    for line in lines:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print(f"seen: {figure.verdict(data)}", flush=True)
    source = "from the cache" if cached else f"in {time.perf_counter() - started:.0f} s"
    tell(f"{figure.name} {source}; written to {args.out}/{stem(figure, settings)}.png, .svg and .csv")
    return Entry(figure, data, Path(args.out), settings)


def _write_gallery(done: list[Entry], args: argparse.Namespace) -> None:
    """Write the page of the figures so far: it stays if a later figure is interrupted."""
    from ..lecture.gallery import page
    from ..serialization.atomic import replacing

    target = Path(args.out) / f"gallery{done[0].settings.suffix}.html"
    with replacing(target) as temporary:
        Path(temporary).write_text(page(done), encoding="utf-8")
    if not args.quiet:
        print(f"{len(done)} figures in {target}", file=sys.stderr, flush=True)
