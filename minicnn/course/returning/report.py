"""The teacher's page: one HTML file that loads nothing and runs nothing, for a telephone, a screen or paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...utils.page import page as html_page
from ..manifest import Homework
from ..misconceptions import mistakes
from .formats.form import shown, write_text
from .grades import PASS, Grades
from .guarding import line, markup
from .similarity import Pair

BINS = 10
SLOWEST = 10
# What a bar is filled with, on white and on black: 3 to 1 at least against the page, and in an order of brightness.
STATES = {
    PASS: ("#1a7f37", "#4ac26b"),
    "WRONG": ("#b3501b", "#f0883e"),
    "ERROR": ("#a40e26", "#ff7b72"),
    "NOT ATTEMPTED": ("#6b7480", "#98a2ad"),
}
OTHER = ("#6639a6", "#c297ff")  # TIMEOUT, CRASH and the like
STYLE = """
.void { color: var(--bad); font-weight: bold; border: 2px solid; padding: .6rem; }
svg { display: block; width: 100%; max-width: 40rem; } svg.bar { height: .9rem; }
svg.points { font-size: 11px; text-anchor: middle; } svg.points rect { fill: var(--pass); }
table { width: 100%; } tr + tr { border-top-color: var(--soft); }
td, th { overflow-wrap: break-word; } td:last-child { overflow-wrap: anywhere; }
td:not(:last-child) { max-width: 9rem; } td.number:first-child { text-align: left; }
"""


def page(grades: Grades, homework: Homework, pairs: Sequence[Pair] = ()) -> str:
    """The page.

    Args:
        pairs: near-identical submissions, from ``similarity``.
    """
    results, title = grades.results, f"{grades.homework} {grades.title}"
    counts = Counter(each.state for each in grades.ungraded)
    told = [f"{len(results)} graded", *(f"{count} {state}" for state, count in sorted(counts.items()))]
    parts = [f"<h1>{markup(title)}</h1>", f"<p>{markup(', '.join(told))}. Sandbox: {markup(grades.sandbox)}.</p>"]
    if grades.void:
        parts.append(
            f'<p class="void">This batch is void, and none of its grades may be used: {markup(grades.void)}</p>'
        )
    sections = {
        "Points": _distribution(grades),
        "Tasks": _tasks(grades),
        "Mistakes": _mistakes(grades, homework),
        "Checks that fail most often": _checks(grades),
        "Without a grade": _rows((each.student, each.state, each.why) for each in grades.ungraded),
        "To look at": _rows((result.student, flag) for result in results for flag in result.flags),
        "Handled on the way": _rows((result.student, note) for result in results for note in result.notes),
        "Nearly the same": _pairs(pairs),
        "First difference on their own earlier homework": _divergences(grades),
        "Slowest": _slowest(grades),
        "Everybody": _everybody(grades),
    }
    parts += [f"<h2>{name}</h2>\n{body}" for name, body in sections.items() if body]
    colors = {**{_name(state): pair for state, pair in STATES.items()}, "other": OTHER}
    return html_page(line(title), "\n".join(parts), STYLE, colors=colors)


def write(grades: Grades, homework: Homework, out: str | Path, pairs: Sequence[Pair] = ()) -> Path:
    """Write the page to ``out``."""
    return write_text(Path(out), page(grades, homework, pairs))


def _name(state: str) -> str:
    return state.lower().replace(" ", "-") if state in STATES else "other"


def _rows(rows: Iterable[Sequence[object]], head: Sequence[str] = ()) -> str:
    """A table; numbers are set to the right, but for those in front. Empty without rows."""
    body = [
        "".join(
            f'<td class="number">{shown(value)}</td>'
            if isinstance(value, (int, float))
            else f"<td>{markup(line(str(value)))}</td>"
            for value in row
        )
        for row in rows
    ]
    heads = "".join(f"<th>{markup(name)}</th>" for name in head)
    table = "".join(f"<tr>{row}</tr>\n" for row in [heads, *body] if row)
    return f"<table>{table}</table>" if body else ""


def _distribution(grades: Grades) -> str:
    """A histogram of the totals; the last bar holds the full marks, too."""
    totals = sorted(result.total for result in grades.results)
    if not totals:
        return ""
    most = grades.max_total or 1
    counts = Counter(min(BINS - 1, max(0, int(BINS * total / most))) for total in totals)
    width, height = 360 / BINS, 100 / max(counts.values())
    bars = []
    for at in range(BINS):
        middle, tall = (at + 0.5) * width, counts[at] * height
        bars.append(f'<rect x="{at * width + 2:g}" y="{116 - tall:g}" width="{width - 4:g}" height="{tall:g}"/>')
        bars.append(f'<text x="{middle:g}" y="{112 - tall:g}">{counts[at] or ""}</text>')
        bars.append(f'<text x="{middle:g}" y="131">{shown(at * most / BINS)}</text>')
    half, mean = (totals[(len(totals) - 1) // 2] + totals[len(totals) // 2]) / 2, sum(totals) / len(totals)
    said = f"median {shown(half)}, mean {shown(mean)}, from {shown(totals[0])} to {shown(totals[-1])} of {shown(most)}"
    start = f'<svg class="points" viewBox="0 0 360 136" role="img" aria-label="{said}">'
    return f"<p>{said}; each bar begins at the points below it.</p>{start}{''.join(bars)}</svg>"


def _tasks(grades: Grades) -> str:
    """A bar for each task, and the same in words."""
    states: dict[tuple[str, str], Counter[str]] = {}
    for result in grades.results:
        for task in result.tasks:
            states.setdefault((task.id, task.title), Counter())[task.state] += 1
    order = [*STATES]
    parts = []
    for (name, title), counts in states.items():
        ranked = sorted(counts, key=lambda state: (order.index(state) if state in order else len(order), state))
        at, bars = 0.0, []
        for state in ranked:
            width = 100 * counts[state] / counts.total()
            bars.append(f'<rect x="{at:.3f}" width="{width:.3f}" height="8" fill="var(--{_name(state)})"/>')
            at += width
        words = ", ".join(f"{counts[state]} {state}" for state in ranked)
        drawing = (
            f'<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{markup(words)}">'
        )
        parts.append(f"<p><b>{markup(name)}</b> {markup(title)}: {markup(words)}</p>{drawing}{''.join(bars)}</svg>")
    return "\n".join(parts)


def _mistakes(grades: Grades, homework: Homework) -> str:
    """How many made each named mistake, with its diagnosis; one that was not planted is told by its name."""
    planted = {mistake.name: mistake.diagnosis for mistake in mistakes(homework.id)}
    made = {
        (task.id, check.mistake, result.student)
        for result in grades.results
        for task, check in result.checks
        if check.mistake
    }
    counts = Counter((task, str(name)) for task, name, _ in made)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    of = len(grades.results)
    return _rows(
        ((f"{count} of {of}", task, f"{planted.get(name, '')} ({name})".strip()) for (task, name), count in ranked),
        ("students", "task", "mistake"),
    )


def _checks(grades: Grades) -> str:
    failed = Counter(
        (task.id, check.what) for result in grades.results for task, check in result.checks if check.state != PASS
    )
    return _rows(((count, *check) for check, count in failed.most_common(10)), ("students", "task", "check"))


def _pairs(pairs: Sequence[Pair]) -> str:
    rows = ((pair.one, pair.other, f"{pair.share:.0%}", ", ".join(pair.lines)) for pair in pairs)
    return _rows(rows, ("one", "other", "shared", "where, in the one"))


def _divergences(grades: Grades) -> str:
    found = Counter(
        str(r.own_stack["first_divergence"]) for r in grades.results if r.own_stack and r.own_stack["first_divergence"]
    )
    return _rows(((count, task) for task, count in found.most_common()), ("students", "task"))


def _slowest(grades: Grades) -> str:
    ranked = sorted(grades.results, key=lambda result: -result.seconds)[:SLOWEST]
    return _rows(((result.student, result.seconds) for result in ranked), ("student", "seconds"))


def _everybody(grades: Grades) -> str:
    rows = [
        (
            result.student,
            result.name,
            result.total,
            ", ".join(f"{t.id} {t.state}" for t in result.tasks if t.state != PASS),
        )
        for result in grades.results
    ]
    table = _rows(rows, ("student", "name", "points", "tasks without all points"))
    return f"<details><summary>{len(rows)} students</summary>{table}</details>" if rows else ""
