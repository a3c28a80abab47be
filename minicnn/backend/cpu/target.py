"""The processor: how wide its vectors are, and how many rows of them a register tile has.

A tile keeps ``rows x 2`` vectors of sums in registers, needs two more for the weights and one for the pixel that is
being multiplied. Its rows are chosen to fill the registers: 14 x 2 + 3 = 31 of AVX-512's 32, 6 x 2 + 3 = 15 of the 16
of AVX2.
Two things must be hidden, and a full tile hides both: a fused multiply-add takes four cycles and two can start in each,
so eight sums at least have to be under way; and two loads a cycle are all there is, so that a number once loaded must
be used several times.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any, NamedTuple

from llvmlite import binding
from numba.core import config as numba_config


class Target(NamedTuple):
    """What the kernels are built for."""

    name: str
    vector_bytes: int
    tile_rows: int
    fma: bool  # fused multiply-add in hardware; without it x * y + z is two instructions

    def lanes(self, itemsize: int) -> int:
        """Numbers in one vector."""
        return self.vector_bytes // itemsize

    @property
    def masks(self) -> bool:
        """Whether writing a part of a vector takes no longer than writing all of it."""
        return self.vector_bytes == 64

    @property
    def row_counts(self) -> tuple[int, ...]:
        """The heights that tiles are built in, tallest first: what is left over takes the smaller ones."""
        return (self.tile_rows, *(rows for rows in (8, 7, 6, 5, 4, 3, 2, 1) if rows < self.tile_rows))


AVX512 = Target("avx512", vector_bytes=64, tile_rows=14, fma=True)
AVX2 = Target("avx2", vector_bytes=32, tile_rows=6, fma=True)
NEON = Target("neon", vector_bytes=16, tile_rows=12, fma=True)
PLAIN = Target("plain", vector_bytes=16, tile_rows=6, fma=False)

# For processors named by NUMBA_CPU_NAME. What is not listed is PLAIN, which runs everywhere.
NAMED = {
    AVX512: ("skylake-avx512", "cascadelake", "cooperlake", "icelake", "tigerlake", "rocketlake", "sapphirerapids",
             "emeraldrapids", "graniterapids", "znver4", "znver5", "x86-64-v4"),
    AVX2: ("haswell", "broadwell", "skylake", "alderlake", "raptorlake", "meteorlake", "arrowlake", "znver1",
           "znver2", "znver3", "x86-64-v3"),
    NEON: ("apple", "cortex", "neoverse"),
}  # fmt: skip


@cache
def target() -> Target:
    """The target of this process: that of ``NUMBA_CPU_NAME`` if it is set, else the host's."""
    config: Any = numba_config
    named = os.environ.get("NUMBA_CPU_NAME") or config.CPU_NAME
    if named:
        # The longest name counts: "skylake-avx512" begins with "skylake", and is another processor.
        found = [(len(start), kind) for kind, starts in NAMED.items() for start in starts if named.startswith(start)]
        return max(found, key=lambda pair: pair[0])[1] if found else PLAIN
    return of_features(binding.get_process_triple(), dict(binding.get_host_cpu_features()))


def of_features(triple: str, features: dict[str, bool]) -> Target:
    """The target of a processor with these LLVM features."""
    if triple.startswith(("aarch64", "arm64")):
        return NEON
    if features.get("avx512f") and features.get("avx512vl"):
        return AVX512
    if features.get("avx2") and features.get("fma"):
        return AVX2
    return PLAIN
