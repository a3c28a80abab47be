"""``comparison.html``: runs side by side as one page that loads nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from ..paths import printable
from ..training.curves import error_scale, loss_scale
from ..utils import style
from ..utils.page import data_url
from ..utils.page import page as html_page
from .comparison import ComparedRun, Comparison
from .comparison_report import cells, settings, words
from .report import percent

INCHES = (5.2, 3.9)  # of a picture: two lie side by side on a page, and the letters can be read on a phone
MARKERS = 12  # on a curve
WIDE_RANGE = 5  # a loss whose largest value is so many times the smallest is drawn on a logarithmic scale
TICKS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # between lines, as shares
MOST_TICKS = 6
CEILING = 10  # times the highest training loss: before its running statistics have settled, a validation's can be 1e8
SMALL_ERROR = 10  # percent: an error that gets below is
STYLE = """
.verdict { font-size: 1.1rem; border-left: 3px solid var(--mark); padding-left: .75rem; margin: 1rem 0; }
.note { border-left: 3px solid var(--bad); padding-left: .75rem; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: .8rem; }
.curves img { display: block; width: 100%; height: auto; background: #fff; border-radius: 6px; }
.wide table { overflow-wrap: normal; } td { min-width: 3rem; }
.wide td:last-child { white-space: nowrap; } th.number { white-space: normal; }
td:first-child { overflow-wrap: anywhere; min-width: 6rem; } .best td:first-child { font-weight: 600; }
svg { display: block; width: 100%; min-width: 20rem; max-width: 36rem; margin: .6rem 0; font-size: 12px; }
svg line { stroke: var(--line); } svg .span { stroke: var(--mark); stroke-width: 3; } svg circle { fill: var(--mark); }
svg .best { stroke: var(--ink); } svg circle.best { fill: var(--ink); }
p, li { max-width: 46rem; }
"""

#: What is drawn: the entry of a line, without its part, and what is made of it.
CURVES: dict[str, tuple[str, Callable[[float], float]]] = {
    "loss": ("loss", lambda loss: loss),
    "top-1 error (%)": ("top1", lambda top1: 100 * (1 - top1)),
}


def page(comparison: Comparison, command: str) -> str:
    """The page.

    Args:
        command: what makes it again.
    """
    names = [run.name for run in comparison.runs]
    title = " and ".join(names) if len(names) == 2 else f"{len(names)} runs compared"
    parts = [f"<h1>{escape(title)}</h1>"]
    parts += [f'<p class="note">{_note(note)}</p>' for note in comparison.notes]
    if verdict := comparison.verdict():
        parts.append(f'<p class="verdict">{escape(verdict)}.</p>')
    parts += [_intervals(comparison), _table(comparison), "<h2>Curves</h2>", _curves(comparison.runs)]
    if settings(comparison):
        parts += ["<h2>Settings that differ</h2>", _settings(comparison)]
    parts += ["<h2>What the numbers mean</h2>", _MEANING, f'<p class="soft">Made by <code>{_text(command)}</code></p>']
    return html_page(title, "\n".join(part for part in parts if part), STYLE)


def _table(comparison: Comparison) -> str:
    names = ("test top-1 %", "95 % interval", "parameters", "multiply-adds", "epochs", "seconds")
    heads = "".join(f'<th class="number">{name}</th>' for name in names)
    rows = []
    for run in comparison.runs:
        name, *figures = cells(comparison, run)
        shown = "".join(f'<td class="number">{figure}</td>' for figure in figures)
        best = " class=best" * (run in comparison.best)
        rows.append(f"<tr{best}><td>{_text(name)}</td>{shown}<td>{_text(run.path)}</td></tr>")
    return (
        f'<div class="wide"><table><tr><th>run</th>{heads}<th>folder</th></tr>\n' + "\n".join(rows) + "</table></div>"
    )


def _settings(comparison: Comparison) -> str:
    heads = "".join(f"<th>{_text(run.name)}</th>" for run in comparison.runs)
    rows = [
        f"<tr><td>{words(name)}</td>{''.join(f'<td>{_text(value)}</td>' for value in values)}</tr>"
        for name, values in settings(comparison).items()
    ]
    return f'<div class="wide"><table><tr><th></th>{heads}</tr>\n' + "\n".join(rows) + "</table></div>"


def _intervals(comparison: Comparison) -> str:
    """Test accuracies with their intervals, one below the other; empty if there are less than two."""
    runs = [(run, run.top1, run.interval) for run in comparison.runs if run.interval and run.top1 is not None]
    if len(runs) < 2 or not comparison.same_data:
        return ""
    lows, highs = zip(*(interval for _, _, interval in runs if interval), strict=True)
    tick = next(tick for tick in TICKS if max(highs) - min(lows) <= MOST_TICKS * tick)
    first, last = math.floor(min(lows) / tick), math.ceil(max(highs) / tick)
    low, high = first * tick, last * tick
    left, wide, step = 20 + 8 * max(len(run.name) for run, _, _ in runs), 420, 26
    parts = []

    def x(share: float) -> str:
        return f"{left + wide * (share - low) / (high - low):.1f}"

    bottom = step * len(runs) + 6
    for at in (tick * number for number in range(first, last + 1)):
        parts.append(f'<line x1="{x(at)}" x2="{x(at)}" y1="0" y2="{bottom}"/>')
        parts.append(f'<text x="{x(at)}" y="{bottom + 16}" text-anchor="middle">{100 * at:.4g}</text>')
    for row, (run, top1, interval) in enumerate(runs):
        y, best = step * row + 16, " best" * (run in comparison.best)
        parts += [
            f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{_text(run.name)}</text>',
            f'<line class="span{best}" x1="{x(interval[0])}" x2="{x(interval[1])}" y1="{y}" y2="{y}"/>',
            f'<circle class="{best.strip()}" cx="{x(top1)}" cy="{y}" r="5"/>',
        ]
    said = ", ".join(f"{run.name} {percent(top1)} per cent" for run, top1, _ in runs)
    return (
        f'<div class="wide"><svg viewBox="0 0 {left + wide + 24} {bottom + 24}" role="img" aria-label="{_text(said)}">'
        f'{"".join(parts)}</svg></div><p class="soft">Test accuracy in %, with its 95 % interval.</p>'
    )


def _curves(runs: Sequence[ComparedRun]) -> str:
    if not any(run.lines for run in runs):
        return "<p>There are none yet: no run has finished an epoch.</p>"
    parts = []
    for title, (entry, value) in CURVES.items():
        trained, validated = (curves_of(runs, f"{part}_{entry}", value) for part in ("train", "validation"))
        low, high = _extent([*trained.values(), *validated.values()])
        if title == "loss":
            high = min(high, CEILING * _extent([*trained.values()])[1])
        for name, curves in ((f"training {title}", trained), (f"validation {title}", validated)):
            if curves:
                source = data_url(draw(name, curves, low, high))
                parts.append(f'<img src="{source}" alt="{name} of {_text(", ".join(curves))}">')
    return f'<div class="curves">{"".join(parts)}</div>'


def _extent(curves: Sequence[list[tuple[int, float]]]) -> tuple[float, float]:
    values = [value for points in curves for _, value in points]
    return min(values), max(values)


def curves_of(
    runs: Sequence[ComparedRun], entry: str, value: Callable[[float], float]
) -> dict[str, list[tuple[int, float]]]:
    """The epochs and values of the runs that have some."""
    named = {run.name: [(line["epoch"], value(line[entry])) for line in run.lines if entry in line] for run in runs}
    return {name: points for name, points in named.items() if points}


def draw(title: str, curves: dict[str, list[tuple[int, float]]], low: float, high: float) -> bytes:
    """A PNG of some curves, each told by its colour, its dash, its marker and its name at the end.

    Args:
        title: with ``loss`` or ``error`` in it.
        curves: the name of each, with its epochs and values.
        low, high: what the axis must hold, which decides whether it is logarithmic; what is higher is left out.
    """
    with style.applied():
        drawing = style.picture(INCHES[1])
        drawing.set_size_inches(*INCHES)
        axes = drawing.subplots()
        ends = []
        for at, (name, points) in enumerate(curves.items()):
            shown = [point for point in points if point[1] <= high]
            if shown:
                every = max(1, len(shown) // MARKERS)
                axes.plot(*zip(*shown, strict=True), **_look(at).line(clip_on=False, markevery=every))
                ends.append((name, *shown[-1]))
        last = max(points[-1][0] for points in curves.values())
        axes.set_xlim(1 - 0.04 * last, 1.04 * last)
        if _extent([*curves.values()])[1] > high:
            title += f"; above {high:.2g} not shown"
        if "loss" in title:
            logarithmic = high >= WIDE_RANGE * low > 0
            loss_scale(axes, title, logarithmic)
            axes.set_ylim(*((low / 1.1, high * 1.1) if logarithmic else (0, high * 1.05 or 1)))
        else:
            error_scale(axes, title, low < SMALL_ERROR)
        style.label_ends(axes, ends)
        return style.png(drawing)


def _look(at: int) -> style.Look:
    """How the curve number ``at`` looks: from the eighth on, colours come again with other markers and dashes."""
    count = len(style.LOOKS)
    colour, other = style.LOOKS[at % count], style.LOOKS[(at + at // count) % count]
    return style.Look(colour.colour, other.marker, other.dash)


_MEANING = """<ul>
<li><b>95 % interval</b>: the Wilson score interval (1927) of the share of right answers, for the number of test images.
It says how much another set of test images could change. It does not say how much another seed would: for that, train
each network several times. Where two intervals overlap, these images do not show for sure which run is better.</li>
<li><b>Multiply-adds</b>: of convolutions and matrix products, for one image. <b>Seconds</b>: of training, on whatever
machine that was.</li>
<li><b>Training</b> numbers are means over an epoch in which the weights change, on augmented images; <b>validation</b>
is measured after it. With label smoothing no loss reaches 0.</li></ul>"""


def _note(note: str) -> str:
    """A sentence in which a command stands between backquotes."""
    return re.sub("`(.+?)`", r"<code>\1</code>", escape(note))


def _text(name: Any) -> str:
    return escape(printable(name))
