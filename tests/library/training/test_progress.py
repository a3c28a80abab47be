"""What a training shows, on terminals and elsewhere."""

from __future__ import annotations

import io
import math

import pytest

from minicnn.training import Progress
from minicnn.training.progress import describe, epoch_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


NUMBERS = {"loss": 0.5, "top1": 0.75, "top5": 1.0}


def show(quiet: bool, bar_out: io.StringIO) -> tuple[str, str]:
    """What a short run prints on the standard output, and what is drawn as a bar."""
    out = io.StringIO()
    with Progress(quiet, out, bar_out) as progress:
        progress.start(steps=10, done=4)
        progress.line("a heading")
        for _ in range(6):
            progress.step(2, 5, NUMBERS, 1234.5)
        if progress.bar is not None:
            progress.bar.refresh()  # it paints itself ten times a second, and this run was shorter
        progress.result("the result")
    return out.getvalue(), bar_out.getvalue()


def test_a_terminal_gets_a_bar_with_the_numbers_and_the_lines_above_it() -> None:
    out, bar = show(False, Terminal())
    assert out.splitlines() == ["a heading", "the result"]
    for part in ("epoch 2/5", "40%", "loss 0.5000", "top-1  75.0%", "top-5 100.0%", "1,234 images/s", "left"):
        assert part in bar, part


def test_a_file_gets_plain_lines() -> None:
    out, bar = show(False, io.StringIO())
    assert out.splitlines() == ["a heading", "the result"]
    assert bar == ""


@pytest.mark.parametrize("bar_out", [Terminal(), io.StringIO()])
def test_quiet_is_only_the_result(bar_out: io.StringIO) -> None:
    assert show(True, bar_out) == ("the result\n", "")


def test_numbers_are_told_in_percent() -> None:
    assert describe({"loss": 0.12345, "top1": 0.5}) == "loss 0.1235  top-1  50.00%"
    line = {"epoch": 3, "seconds": 2.04, "images_per_second": 1234.5, "train_loss": 1.0, "train_top1": 0.25}
    assert epoch_line(line, 25) == "epoch  3/25  loss 1.0000  top-1  25.00%  1,234 im/s"


@pytest.mark.parametrize("loss", [math.nan, 123.4567, 0.1])
def test_a_line_of_a_long_training_of_many_classes_fits_80_columns(loss: float) -> None:
    line = {"epoch": 9, "seconds": 2.0, "images_per_second": 123456.7}
    for part in ("train", "validation"):
        line |= {f"{part}_loss": loss, f"{part}_top1": 1.0, f"{part}_top5": 1.0}
    assert len(epoch_line(line, 300)) <= 80
    assert epoch_line(line, 300).startswith(f"epoch   9/300  loss {loss:.4f}  top-1 100.00%  val {loss:.4f} 100.00%")
