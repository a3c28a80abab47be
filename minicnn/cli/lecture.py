"""``minicnn lecture``: the lecture's figures, each drawn from a result that comes with minicnn, or computed."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ..terminal import fill, table
from . import _mine
from ._arguments import device, seed

if TYPE_CHECKING:  # the parser loads every command module, so imports happen only where they are needed
    from ..lecture import Figure
    from ..lecture.gallery import Entry

LONGEST_CELL = 40  # characters of the last column, above which it is set below the table

HELP = "list the lecture's figures, or draw one (table, PNG, SVG, CSV) or all (and a gallery page)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The figure and how to compute it."""
    parser.description = (
        "Without options a figure is drawn from the full result that comes with minicnn, at once; "
        "other settings, or --fresh, compute it here."
    )
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
    parser.add_argument("--fresh", action="store_true", help="compute anew, whatever is shipped or in DIR/cache")
    _mine.add_argument(parser)
    parser.add_argument("--quiet", action="store_true", help="print only the table, what was seen, and where from")


def run(args: argparse.Namespace) -> int:
    """List the figures, or draw one or all of them; all of them fill the gallery."""
    from ..data import open_data
    from ..lecture import Settings, figure, figure_names
    from ._errors import UsageError, misuse

    if args.figure is None:
        figures = sorted(map(figure, figure_names()), key=_by_line)
        cells = [(entry.name, ", ".join(entry.lecture), entry.claim) for entry in figures]
        print(*table(cells, "<<<"), sep="\n")
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
    """Draw one figure; print its table, what was seen, and of a shipped result where it is from."""
    from ..lecture import Settings
    from ..lecture import run as run_figure
    from ..lecture.base import stem
    from ..lecture.gallery import Entry

    started = time.perf_counter()

    def tell(line: str) -> None:
        if not args.quiet:
            print(fill(f"[{number}{time.perf_counter() - started:5.1f} s] {line}"), file=sys.stderr, flush=True)

    images = args.data if figure.chooses_data else Settings.data
    settings = Settings(args.quick, args.seed, args.device, tell, images, mine=bool(args.mine))
    outcome = run_figure(figure, args.out, settings, fresh=args.fresh)
    header, rows = figure.table(outcome.data)
    print(fill(f"{figure.name} ({', '.join(figure.lecture)}): {figure.claim}"))
    _print_table([header, *rows], "  ")
    print(fill(f"seen: {figure.verdict(outcome.data)}"), flush=True)
    if outcome.origin is not None:
        print(fill(f"computed {outcome.origin}"), flush=True)
    took = f"in {time.perf_counter() - started:.0f} s"
    source = "as shipped; --fresh computes it here" if outcome.origin else "from the cache" if outcome.cached else took
    tell(f"{figure.name} {source}; written to {args.out}/{stem(figure, settings)}.png, .svg and .csv")
    return Entry(figure, outcome.data, Path(args.out), settings, outcome.origin)


def _print_table(rows: Sequence[Sequence[Any]], indent: str = "") -> None:
    """Print a table, its first row the header: numbers to the right, text to the left, long last cells as notes."""
    header, *cells = [[str(cell) for cell in row] for row in rows]
    notes: dict[str, str] = {}
    if any(len(row[-1]) > LONGEST_CELL for row in cells):
        for row in cells:
            row[-1] = notes.setdefault(row[-1], f"[{len(notes) + 1}]")
        header[-1] = header[-1].split()[0]
    columns = list(zip(*cells, strict=True))
    align = "".join(">" if all(map(_is_number, filter(None, column))) else "<" for column in columns)
    heads = [
        wrap(head, max(map(len, (*head.replace("-", "- ").split(), *column)))) if sign == ">" else [head]
        for head, column, sign in zip(header, columns, align, strict=True)
    ]
    tallest = max(map(len, heads))
    lines = [[""] * (tallest - len(head)) + head for head in heads]
    print(*table([*map(list, zip(*lines, strict=True)), *cells], align, indent), sep="\n")
    for text, number in notes.items():
        print(fill(f"{number} {text}", indent, "    "))


def _is_number(text: str) -> bool:
    """Whether a cell is a number, a percentage, a factor, or two numbers as in 303/128."""
    try:
        for number in text.removeprefix("x ").removesuffix(" %").split("/"):
            float(number)
    except ValueError:
        return False
    return True


def _write_gallery(done: list[Entry], args: argparse.Namespace) -> None:
    """Write the page of the figures so far: it stays if a later figure is interrupted."""
    from ..lecture.gallery import page
    from ..utils.page import write_page

    target = write_page(Path(args.out) / f"gallery{done[0].settings.suffix}.html", page(done))
    if not args.quiet:
        print(fill(f"{len(done)} figures in {target}"), file=sys.stderr, flush=True)
