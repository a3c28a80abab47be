"""``minicnn warmup``: compile the CPU's kernels ahead of time, so that no training or test waits for the compiler."""

from __future__ import annotations

import argparse
import time

from ..terminal import fill

HELP = "compile all kernels ahead of time, once, so that the first training step need not wait"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which numbers to compile for."""
    parser.add_argument("--float64", action="store_true", help="for numbers in float64 too, not only in float32")


def run(args: argparse.Namespace) -> int:
    """Compile the missing kernels, and print what is compiled, how long it takes and where it is kept."""
    from ..backend.cpu.keeping import cache_folder, described_cache
    from ..backend.cpu.warmup import Work, warm_up

    begun: list[Work] = []

    def begin(work: Work) -> None:
        if not begun:
            print(fill(f"compiling kernels, {described_cache()}"))
        begun.append(work)
        print(f"{work.number:>4} of {work.steps}  {work.name} ...", end="", flush=True)

    start = time.perf_counter()
    warm_up(
        ("float32", "float64") if args.float64 else ("float32",),
        begin,
        lambda seconds: print(f" {seconds:.1f} s", flush=True),
    )
    elapsed = time.perf_counter() - start
    if begun:
        there = begun[0].steps - len(begun)
        print(f"done in {elapsed:.0f} s" + (f"; {there} of {begun[0].steps} were there already" if there else ""))
    else:
        print(fill(f"all kernels are compiled already (looked for {elapsed:.1f} s): kept in {cache_folder()}"))
    return 0
