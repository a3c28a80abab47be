"""``python benchmarks/gpu.py --host``: what a training step asks of CuPy and how long Python takes, without a GPU.

minicnn runs on the tests' stand-in for CuPy, on two small images: a step launches the same whatever the batch, as long
as its columns fit into one piece. Kernels and products are counted and not computed; a CUDA graph counts as one launch.
The time is that of the processor in minicnn's own code: the stand-in's is taken off (not that of reading shapes and
dtypes), and CuPy's is not in it. On a busy machine it is twice as long: compare what was measured side by side.

``PYTHONPATH=../before python benchmarks/gpu.py --host`` counts what another checkout does.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for the tests' stand-in

from gpu_sides import Minicnn, Setting  # noqa: E402

from tests.library.support.cuda import fakecupy, fakeraw  # noqa: E402

SUPPORT = "tests.library.support.cuda"
fakecudnn, fakegraph = (  # which older checkouts do not have
    importlib.import_module(f"{SUPPORT}.{name}") if importlib.util.find_spec(f"{SUPPORT}.{name}") else None
    for name in ("fakecudnn", "fakegraph")
)

BATCH, SIZE, STEPS = 2, 32, 15
# What launches nothing: views, allocation, and questions.
QUIET = {
    "__init__", "__del__", "__len__", "__iter__", "_index", "reshape", "transpose", "swapaxes", "squeeze", "ravel",
    "moveaxis", "expand_dims", "broadcast_to", "flip", "view", "diagonal", "empty", "empty_like", "asanyarray", "get",
    "result_type", "__array_function__", "may_share_memory", "shares_memory", "broadcast_shapes", "isscalar", "ndim",
    "size", "shape",
}  # fmt: skip
POINTERS = 6  # kernels with which cupy.matmul makes lists of pointers where a factor has more than two axes


class Costs(NamedTuple):
    """Of one training step."""

    kernels: int
    products: int
    others: int
    milliseconds: float  # of minicnn's Python

    @property
    def launches(self) -> int:
        return self.kernels + self.products + self.others


class Watch:
    """Counts what is asked of the stand-in, and the time spent in it."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.inside, self.depth = 0.0, 0

    def watched(self, function: Callable[..., Any], kind: Callable[..., str | None]) -> Callable[..., Any]:
        """``function``, whose outermost calls are counted as ``kind`` of their arguments says."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.depth:
                return function(*args, **kwargs)
            start, self.depth = time.thread_time(), 1
            try:
                asked = kind(*args, **kwargs)
                if asked is not None:
                    self.asked[asked] += 1 + POINTERS * (asked == "lists of products")
                return function(*args, **kwargs)
            finally:
                self.depth = 0
                self.inside += time.thread_time() - start

        return call


@contextmanager
def watching() -> Iterator[Watch]:
    """The stand-in in CuPy's place, watched, with kernels and products that compute nothing."""
    watch, undo = Watch(), []

    def replace(owner: Any, name: str, function: Any) -> None:
        undo.append((owner, name, vars(owner).get(name)))
        setattr(owner, name, function)

    array = fakecupy.FakeArray
    for name, method in list(vars(array).items()):
        if callable(method) and name != "__hash__" and not isinstance(method, type):
            replace(array, name, watch.watched(method, _kind_of(name)))
    replace(fakeraw.RawKernel, "__call__", watch.watched(lambda *_: None, lambda *_: "kernels"))
    cupy = fakecupy.FakeCupy
    for name in ("asarray", "asanyarray", "ascontiguousarray", "empty", "matmul"):
        replace(cupy, name, watch.watched(vars(cupy)[name], _kind_of(name)))
    replace(fakecupy.FakeUfunc, "__call__", watch.watched(fakecupy.FakeUfunc.__call__, lambda *_, **__: "others"))
    found = cupy.__getattr__

    def look_up(self: Any, name: str) -> Any:
        function = found(self, name)
        known = callable(function) and not isinstance(function, (type, fakecupy.FakeUfunc))
        return watch.watched(function, _kind_of(name)) if known else function

    replace(cupy, "__getattr__", look_up)
    if fakegraph is not None:
        replace(fakegraph.Graph, "launch", watch.watched(lambda *_: None, lambda *_: "others"))
    if fakecudnn is not None:
        replace(fakecudnn.Graph, "execute", watch.watched(lambda *_, **__: None, lambda *_, **__: "products"))
    try:
        with fakecupy.installed() as gpu, fakecudnn.installed() if fakecudnn else nullcontext():
            cublas = gpu.xp.cuda.cublas
            if hasattr(cublas, "gemmStridedBatchedEx"):
                cublas.gemmStridedBatchedEx = watch.watched(_product, lambda *_: "products")
            yield watch
    finally:
        for owner, name, before in reversed(undo):
            setattr(owner, name, before)


def _product(*_: Any) -> None:
    """Computes nothing, and cannot be captured."""
    if fakegraph is not None:
        fakegraph.refuse_cublas()


def _kind_of(name: str) -> Callable[..., str | None]:
    """What a call of the stand-in's function or method ``name`` is counted as."""

    def kind(first: Any = None, *others: Any, **options: Any) -> str | None:
        if name in ("matmul", "__matmul__", "dot", "tensordot"):
            factors = [x for x in (first, *others) if isinstance(x, fakecupy.FakeArray)]
            return "lists of products" if any(x.ndim > 2 for x in factors) else "products"
        if name == "__getitem__":
            parts = others[0] if isinstance(others[0], tuple) else others
            return "others" if any(isinstance(part, fakecupy.FakeArray) for part in parts) else None
        if name == "ascontiguousarray":
            return None if others and others[0].flags.c_contiguous else "others"
        if name == "asarray":
            return None if others and isinstance(others[0], fakecupy.FakeArray) else "others"
        if name == "astype" and options.get("copy") is False and first.dtype == others[0]:
            return None
        return None if name in QUIET else "others"

    return kind


def costs(model: str, way: str = "eager", convolution: str = "im2col", size: int = SIZE) -> Costs:
    """Of a training step, once everything is compiled and planned; the time is the least of several steps.

    Raises whatever says that it cannot be done.
    """
    with watching() as watch:
        side = Minicnn(Setting(model, BATCH, size, "float32", True, way, convolution))
        step = side.step()
        for _ in range(3):
            step()
        times = []
        for _ in range(STEPS):
            watch.asked.clear()
            watch.inside, start = 0.0, time.thread_time()
            step()
            times.append(time.thread_time() - start - watch.inside)
    asked = watch.asked
    return Costs(asked["kernels"], asked["products"] + asked["lists of products"], asked["others"], 1e3 * min(times))


def report(models: list[str], ways: list[str], convolutions: list[str]) -> str:
    """A table of them all."""
    lines = [
        "| network | way | convolution | kernels | products | other launches | launches | minicnn's Python, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model in models:
        for convolution in convolutions:
            for way in ways:
                try:
                    found = costs(model, way, convolution)
                except Exception as error:  # whatever says that it cannot be done
                    reason = (str(error).strip().splitlines() or [""])[0]
                    lines.append(f"{model} {way} {convolution}: not available: {type(error).__name__}: {reason}")
                    continue
                counts = map(str, (found.kernels, found.products, found.others, found.launches))
                cells = [model, way, convolution, *counts, f"{found.milliseconds:.1f}"]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
