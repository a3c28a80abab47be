"""The processor that kernels are made for, and the others that this one can stand in for."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from minicnn.backend.cpu.microkernel import VECTORS
from minicnn.backend.cpu.target import AVX2, AVX512, NEON, PLAIN, of_features, target

HERE = Path(__file__).parent
KERNELS = (
    "vector_code microkernel tiles packing matmul conv conv_plan blocks filters depthwise weight_grad sweep "
    "winograd winograd_transforms"
)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="stands in for x86 processors only")
@pytest.mark.parametrize(("name", "expected"), [("haswell", "avx2"), ("x86-64", "plain")])
def test_kernels_for_another_processor(name: str, expected: str) -> None:
    if expected == "avx2" and target().tile_rows < AVX2.tile_rows:
        pytest.skip("this processor has no AVX2")
    environment = os.environ | {
        "NUMBA_CPU_NAME": name,
        "NUMBA_CPU_FEATURES": "+avx2,+fma" if expected == "avx2" else "",
    }
    program = "from minicnn.backend.cpu.target import target; print(target().name)"
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == expected
    tests = [str(HERE / f"test_{module}.py") for module in KERNELS.split()]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        env=environment,
        capture_output=True,
        text=True,
        cwd=HERE.parents[3],
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_the_target_follows_the_features() -> None:
    assert of_features("x86_64-linux", {"avx512f": True, "avx512vl": True, "avx2": True, "fma": True}) is AVX512
    assert of_features("x86_64-linux", {"avx2": True, "fma": True, "avx512f": True}) is AVX2
    assert of_features("x86_64-linux", {"avx2": True}) is PLAIN
    assert of_features("arm64-apple-darwin", {}) is NEON
    for machine in (AVX512, AVX2, NEON, PLAIN):
        registers = 32 if machine in (AVX512, NEON) else 16
        assert VECTORS * machine.tile_rows + VECTORS + 1 <= registers
