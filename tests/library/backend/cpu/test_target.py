"""The kernels for other processors that this one can stand in for: AVX2, and x86-64 without it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from minicnn.backend.cpu.target import AVX2, target

HERE = Path(__file__).parent
FILES = ("test_tiles.py", "test_conv.py", "test_winograd.py")


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
    tests = [str(HERE / file) for file in FILES]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        env=environment,
        capture_output=True,
        text=True,
        cwd=HERE.parents[3],
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
