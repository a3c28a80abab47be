"""A comparison of runs in words and numbers: a table for a terminal, and JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..paths import printable
from ..terminal import Painted, fill, table
from .comparison import ComparedRun, Comparison
from .report import percent

_HEAD = ("run", "top-1 %", "95 % interval", "parameters", "mult-adds", "epochs", "seconds")


def lines(comparison: Comparison, paint: Callable[[str, str], str] | None = None) -> list[str]:
    """The lines for a terminal."""
    text = table([_HEAD, *(cells(comparison, run) for run in comparison.runs)], "<>>>>>>", paint=paint)
    if verdict := comparison.verdict():
        text.append(fill(f"* {verdict}"))
    for name, values in settings(comparison).items():
        told = (f"{printable(value)} ({run.name})" for run, value in zip(comparison.runs, values, strict=True))
        text.append(fill(f"{words(name)}: {', '.join(told)}"))
    return text + [fill(f"note: {note}") for note in comparison.notes]


def cells(comparison: Comparison, run: ComparedRun) -> tuple[str, ...]:
    """The figures of a run; the best accuracy has a star."""
    top1 = "-" if run.top1 is None else percent(run.top1)
    if run in comparison.best:
        top1 = Painted(f"* {top1}", "green")
    low, high = run.interval or (float("nan"),) * 2
    return (
        run.name,
        top1,
        f"{100 * low:.1f} to {100 * high:.1f}" if run.interval else "-",
        compact(run.parameters),
        compact(run.multiply_adds),
        run.epochs,
        f"{run.seconds:,.0f}",
    )


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """What ``minicnn compare --json`` prints. Shares are in [0, 1]; what is not known is null."""
    return {
        "runs": [
            {
                "name": run.name,
                "run": str(run.path),
                "finished": run.result is not None,
                "test_top1": run.top1,
                "interval": run.interval,
                "best": run in comparison.best,
                "parameters": run.parameters,
                "multiply_adds": run.multiply_adds,
                "epochs": len(run.lines),
                "seconds": run.seconds,
                "config": run.config.as_dict(),
                "result": run.result,
                "history": run.lines,
            }
            for run in comparison.runs
        ],
        "settings_that_differ": list(comparison.settings),
        "same_data": comparison.same_data,
        "verdict": comparison.verdict(),
        "notes": comparison.notes,
    }


def settings(comparison: Comparison) -> dict[str, list[Any]]:
    """The settings that differ, but for the models if the runs are called by them."""
    names = [run.name for run in comparison.runs]
    return {name: values for name, values in comparison.settings.items() if values != names}


def words(setting: str) -> str:
    """``batch_size`` as ``batch size``."""
    return setting.replace("_", " ")


def compact(count: int | None) -> str:
    """A large count in millions (M) or thousands of millions (G); a dash for None."""
    if count is None or count < 1e6:
        return "-" if count is None else f"{count:,}"
    return f"{count / 1e6:.2f} M" if count < 1e9 else f"{count / 1e9:.2f} G"
