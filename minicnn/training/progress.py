"""What a training shows: a bar in a terminal, one line per epoch everywhere, only the result when quiet."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from ..terminal import fill

# The most important part comes first: a narrow terminal cuts off the end of the line.
BAR_FORMAT = "{desc} {percentage:3.0f}% {remaining} left |{bar:10}| {postfix[0]}"


class Progress:
    """Shows a run's steps and epochs; as a context manager it removes the bar at the end.

    Args:
        quiet: show only the text given to ``result``.
        out: where the lines go (the standard output).
        bar_out: where the bar is drawn if it is a terminal (the standard error).
    """

    def __init__(self, quiet: bool = False, out: TextIO | None = None, bar_out: TextIO | None = None) -> None:
        self.quiet = quiet
        self.out = out or sys.stdout
        self.bar_out = bar_out or sys.stderr
        self.bar: Any = None

    def start(self, steps: int, done: int) -> None:
        """Begin a run of ``steps`` batches, of which ``done`` were completed before."""
        if self.quiet or not self.bar_out.isatty():
            return
        from tqdm import tqdm

        self.bar = tqdm(
            total=steps,
            initial=done,
            desc="starting",
            file=self.bar_out,
            bar_format=BAR_FORMAT,
            dynamic_ncols=True,
            leave=False,
            postfix=[""],
        )

    def step(self, epoch: int, epochs: int, numbers: dict[str, float], images_per_second: float) -> None:
        """Show that one more batch is done: ``numbers`` are the epoch's means so far."""
        if self.bar is not None:
            self.bar.set_description_str(f"epoch {epoch}/{epochs}", refresh=False)
            self.bar.postfix[0] = f"{describe(numbers, decimals=1)}  {images_per_second:,.0f} images/s"
            self.bar.update()

    def line(self, text: str) -> None:
        """Print a line that stays, above the bar."""
        if self.quiet:
            return
        if self.bar is not None:
            self.bar.write(fill(text), file=self.out)
        else:
            print(fill(text), file=self.out, flush=True)

    def result(self, text: str) -> None:
        """Print the final result, even when quiet."""
        self.close()
        print(fill(text), file=self.out, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def describe(numbers: dict[str, float], prefix: str = "", ks: tuple[int, ...] = (1, 5), decimals: int = 2) -> str:
    """``loss 0.1234  top-1  98.76%  top-5 100.00%`` out of ``{"loss": ..., "top1": ..., "top5": ...}``."""
    parts = [f"loss {numbers[prefix + 'loss']:.4f}"]
    parts += [
        f"top-{k} {100 * numbers[f'{prefix}top{k}']:{decimals + 4}.{decimals}f}%"
        for k in ks
        if f"{prefix}top{k}" in numbers
    ]
    return "  ".join(parts)


def epoch_line(line: dict[str, Any], epochs: int) -> str:
    """A line of ``metrics.jsonl`` in short, to be read at a glance: ``val`` are the validation's loss and top-1."""
    width = len(str(epochs))
    text = f"epoch {line['epoch']:{width}d}/{epochs}  {describe(line, 'train_', ks=(1,))}"
    if "validation_loss" in line:
        text += f"  val {line['validation_loss']:.4f} {100 * line['validation_top1']:6.2f}%"
    return f"{text}  {line['images_per_second']:,.0f} im/s"
