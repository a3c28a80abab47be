"""Asking for a GPU: the three ways in which there is none, and that nothing else imports CuPy."""

from __future__ import annotations

import subprocess
import sys

import pytest

import minicnn
from minicnn import backend
from minicnn.cli import main
from minicnn.errors import DeviceError
from tests.library.support.cuda.fakecupy import CUDARuntimeError, FakeCupy, in_place_of_cupy
from tests.library.support.cuda.machine import CompileException


def cupy_whose(**parts) -> FakeCupy:
    """CuPy with some functions of ``cupy.cuda.<part>`` replaced; an exception is raised by its function."""
    cupy = FakeCupy()
    for part, (name, answer) in parts.items():

        def function(answer=answer):
            if isinstance(answer, Exception):
                raise answer
            return answer

        setattr(getattr(cupy.cuda, part), name, function)
    return cupy


ABSENT = {
    "no CuPy": (None, "needs CuPy", 'pip install "cupy-cuda13x[ctk]"'),
    "no driver": (
        cupy_whose(runtime=("getDeviceCount", CUDARuntimeError("cudaErrorInsufficientDriver: too old"))),
        "cudaErrorInsufficientDriver",
        "nvidia-smi",
    ),
    "no GPU": (cupy_whose(runtime=("getDeviceCount", 0)), "the driver sees no device", "nvidia-smi"),
    "no NVRTC": (
        cupy_whose(nvrtc=("getVersion", RuntimeError('Failure finding "libnvrtc.so.13"\nmore'))),
        "libnvrtc.so.13",
        'pip install "cupy-cuda13x[ctk]"',
    ),
}


@pytest.mark.parametrize("name", ABSENT)
def test_each_missing_part_is_named_with_what_mends_it(name):
    cupy, reason, remedy = ABSENT[name]
    with in_place_of_cupy(cupy), pytest.raises(DeviceError) as error:
        backend.load("cuda")
    assert reason in str(error.value) and remedy in str(error.value)
    others = {part for other, (_, part, _) in ABSENT.items() if other != name}
    assert not [part for part in others if part in str(error.value)]


def test_missing_headers_are_a_missing_library():
    """They are seen when the first of CuPy's own kernels is compiled, and not by whoever adds two tensors later."""
    cupy = FakeCupy()

    def compile_and_run(*args):
        raise CompileException('carray.cuh(7): catastrophic error: cannot open source file "cuda_fp16.h"\n\n1 error')

    cupy.exp = compile_and_run
    with (
        in_place_of_cupy(cupy),
        pytest.raises(DeviceError, match=r'CUDA library \(.*"cuda_fp16.h"\): .*\[ctk\]') as error,
    ):
        backend.load("cuda")
    assert "\n" not in str(error.value)


def test_a_missing_cublas_is_a_missing_library(monkeypatch):
    with in_place_of_cupy(FakeCupy()):
        monkeypatch.setitem(sys.modules, "cupy.cuda.cublas", None)
        monkeypatch.delattr(sys.modules["cupy.cuda"], "cublas")
        with pytest.raises(DeviceError, match=r"not a CUDA library \(.*cublas.*\[ctk\]"):
            backend.load("cuda")


@pytest.mark.parametrize("ask", [
    lambda: minicnn.zeros(2, device="cuda"),
    lambda: minicnn.ones(2).to("cuda"),
    lambda: minicnn.ones(2).cuda(),
    lambda: minicnn.nn.Linear(2, 2).to("cuda:0"),
])  # fmt: skip
def test_every_way_to_ask_gives_the_error(ask):
    with in_place_of_cupy(None), pytest.raises(DeviceError, match="needs CuPy"):
        ask()


def test_the_command_tells_it_in_one_line(capsys):
    with in_place_of_cupy(None):
        assert main(["train", "resnet20", "--device", "cuda", "--epochs", "1"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "needs CuPy" in line and "cupy-cuda13x[ctk]" in line


def test_cupy_is_not_imported_unasked():
    code = (
        "import sys, minicnn, minicnn.backend.cuda, minicnn.training\n"
        "minicnn.device('cuda:0'), minicnn.nn.Linear(2, 2)(minicnn.ones(1, 2)).sum().backward()\n"
        "sys.exit(any(name.split('.')[0] in ('cupy', 'cupyx') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
