"""The real cuDNN, where it is installed, without a GPU: it has what the stand-in has, and plans what is asked for."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from minicnn.backend.cuda.cudnn import ROUNDING, TF32, TIMED_PLANS
from tests.library.support.cuda import fakecudnn, fakeraw
from tests.library.support.cuda.deviceless import FITTING, UNUSUAL

cudnn = pytest.importorskip("cudnn")


def public(kind: Any) -> list[str]:
    return [name for name in vars(kind) if not name.startswith("_")]


def parameters(*functions: Any) -> set[str]:
    """Of a function of Python's, or by the documentation of a compiled one, whichever names them."""
    found = set()
    for function in functions:
        found |= set(re.findall(r"(\w+): ", function.__doc__ or ""))
        if inspect.isfunction(function):
            found |= inspect.signature(function).parameters.keys()
    return found


@pytest.mark.parametrize("name", public(fakecudnn.Graph))
def test_the_graph_has_what_the_standin_has(name):
    compiled = getattr(cudnn._pybind_module, "backend_graph", cudnn.pygraph)
    real = [getattr(kind, name) for kind in (cudnn.pygraph, compiled) if hasattr(kind, name)]
    assert real
    assert set(inspect.signature(getattr(fakecudnn.Graph, name)).parameters) - {"self"} <= parameters(*real)


def test_the_graph_is_made_as_the_standins():
    ours = set(inspect.signature(fakecudnn.Graph).parameters) - {"cudnn"}
    assert ours | {"device_property"} <= parameters(cudnn.pygraph.__init__)


def test_the_module_has_what_the_standin_has():
    made_up = {"kernels", "executed", "graphs", "handles"}
    for name in public(fakecudnn.FakeCudnn):
        assert hasattr(cudnn, name) and name not in made_up
    for kind in (fakecudnn.data_type, fakecudnn.heur_mode, fakecudnn.numerical_note):
        assert set(kind.__members__) <= set(dir(getattr(cudnn, kind.__name__)))
    assert {*ROUNDING, *TF32} <= set(fakecudnn.numerical_note.__members__)
    assert parameters(cudnn.set_stream) >= {"handle", "stream"}
    assert not issubclass(cudnn.cudnnGraphNotSupportedError, RuntimeError)


def test_tensors_have_what_the_standins_have():
    for kind in (cudnn.tensor, getattr(cudnn, "Tensor", cudnn.tensor)):
        assert set(public(fakecudnn.Tensor)) - {"at"} <= set(dir(kind))


def deviceless(**environment: str) -> Any:
    """What cuDNN plans for an H200."""
    command = [sys.executable, "-m", "tests.library.support.cuda.deviceless"]
    root = Path(__file__).parents[4]
    done = subprocess.run(command, cwd=root, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(fakeraw.COMPILER is None, reason="g++ makes an empty driver, and there is none")
def test_plans_without_a_gpu():
    """For ResNet-50 all 69, and for whatever else is asked for in every dtype; shapes that do not fit are refused.

    Without tensor cores cuDNN plans the same as if its environment forbade TensorFloat-32 altogether.
    """
    found, without_tf32 = deviceless(), deviceless(NVIDIA_TF32_OVERRIDE="0")
    for plans in found["resnet50"].values():
        assert len(plans) == 3 * 23 and None not in plans
    for precision in ("TF32", "bfloat16"):
        assert min(offered for _, _, offered in found["resnet50"][precision]) > TIMED_PLANS
    for plans in found["unusual"].values():
        assert len(plans) == 3 * len(UNUSUAL) and None not in plans
    assert found["refused"] and all(found["refused"]), FITTING

    def first(results: Any, precision: str) -> list[Any]:
        return [plan[:2] for plan in results["resnet50"][precision]]

    assert first(found, "TF32") != first(found, "float32") == first(without_tf32, "float32")
    assert first(without_tf32, "TF32") == first(without_tf32, "float32")
