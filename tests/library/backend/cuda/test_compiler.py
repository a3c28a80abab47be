"""The CUDA C compiled for real GPUs where a compiler for them is installed, and called with the arguments that fit."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from minicnn.backend.cuda import compiler, tensors
from tests.library.support.cuda import fakeraw
from tests.library.support.cuda.nvrtc import Nvrtc

VARIANTS = {"float": (), "double": ("-DDOUBLE",), "wide double": ("-DDOUBLE", "-DWIDE")}
FILES = sorted(path.stem for path in compiler.KERNELS.glob("*.cu"))
NVCC = shutil.which("nvcc")
REGISTERS = 128  # more, and an SM of 65 536 registers keeps fewer than 512 threads


def report(file: str, architecture: str, variant: str, folder: Path) -> dict[str, tuple[int, int]]:
    """Registers and bytes of spills of every kernel of a file, from nvcc; its warnings are errors."""
    assert NVCC is not None
    source = folder / f"{file}.cu"
    source.write_text(compiler.source(file))
    command = [NVCC, "-std=c++17", "-cubin", f"-arch={architecture}", "-Xptxas", "-v", "-Werror", "all-warnings"]
    command += [*VARIANTS[variant], "-o", str(folder / "kernels.cubin"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pattern = r"entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers"
    found = re.findall(pattern, done.stderr, re.DOTALL)
    return {name: (int(registers), int(stores) + int(loads)) for name, stores, loads, registers in found}


@pytest.mark.skipif(NVCC is None, reason="nvcc tells registers and spills, and there is none")
@pytest.mark.parametrize("variant", ["float", "double"])
@pytest.mark.parametrize("file", FILES)
def test_nvcc_compiles_without_spills(file, variant, tmp_path):
    found = report(file, "sm_90", variant, tmp_path)
    assert set(found) == set(compiler.signatures(file))
    assert all(registers <= REGISTERS and spills == 0 for registers, spills in found.values()), found


@pytest.mark.parametrize(
    ("architecture", "variant"),
    [("sm_70", "float")]
    + [pytest.param(f"sm_{number}", "wide double", marks=pytest.mark.slow) for number in (70, 75, 80, 90)],
)
def test_nvrtc_compiles_what_cupy_would_give_it(architecture, variant):
    library = next((one for one in Nvrtc.installed() if architecture in one.architectures()), None)
    if library is None:
        pytest.skip(f"no NVRTC that compiles for {architecture}: pip install nvidia-cuda-nvrtc-cu12")
    for file in FILES:
        assert library.compile(compiler.source(file), ("-std=c++17", f"-arch={architecture}", *VARIANTS[variant]))


def test_nvrtc_refuses_what_is_no_cuda():
    if not Nvrtc.installed():
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc-cu12")
    with pytest.raises(SyntaxError, match="undefined"):
        Nvrtc.installed()[0].compile('extern "C" __global__ void f(int* x) { x[0] = y; }', ("-arch=sm_90",))


MISTAKES = {
    "too few arguments": (lambda xp: (xp.zeros(4), 4), "expected 5 arguments"),
    "a strided array": (lambda xp: (xp.zeros((4, 2))[:, 0], 4, 0.5, 1, None), "strided float64"),
    "another dtype": (lambda xp: (xp.zeros(4, "float32"), 4, 0.5, 1, None), "got contiguous float32"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_arguments_that_do_not_fit_are_refused(cuda, name):
    make, message = MISTAKES[name]
    with pytest.raises(TypeError, match=message):
        cuda.launch("random", "dropout_mask", np.float64, 1, *make(cuda.xp))


def test_kernels_are_compiled_once_for_small_arrays_and_once_for_large_ones(cuda, monkeypatch):
    """Large is what an int could not index, be it the jobs or an array."""
    options = []
    monkeypatch.setattr(compiler, "WIDE", 20)
    monkeypatch.setattr(
        cuda.xp, "RawModule", lambda **given: (options.append(given["options"]), fakeraw.RawModule(**given))[1]
    )
    kernels = compiler.Kernels(cuda.xp)
    for words in (3, 4, 5, 4):
        array = cuda.xp.empty((words, 4), "uint32")
        kernels.launch("random", "random_words", np.dtype("float32"), words, array, 1)
    assert options == [(), ("-DWIDE",)]


def test_the_python_side_reads_the_signatures_the_compiler_sees(cuda):
    """Parameter for parameter: the text of the .cu file against g++'s view of it."""
    letters = {"int": "i", "double": "d", "WORDS": "Q", "WORD": "I", "INDEX": "i", "long long": "q"}
    letters |= {"STORE": "d", "REAL": "d", "Tensors": f"V{tensors.TABLE.itemsize}"}
    for path in compiler.KERNELS.glob("*.cu"):
        for name, types in compiler.signatures(path.stem).items():
            kernel = fakeraw.RawModule(code=compiler.source(path.stem), options=("-DDOUBLE",)).get_function(name)
            expected = ["P" * kind.endswith("*") + letters[kind.removesuffix("*")] for kind in types]
            assert kernel.parameters == ["i", *expected], name
