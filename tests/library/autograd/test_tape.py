"""The tape is what one reads: its files hold no word of speed, and every operation's own code runs at every size."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import backend
from minicnn.autograd import Function
from minicnn.nn import functional as F
from minicnn.ops import indexing, inplace

PACKAGE = Path(minicnn.__file__).parent
READ = [PACKAGE / "tensors.py", *sorted((PACKAGE / "autograd").glob("*.py")), *sorted((PACKAGE / "ops").glob("*.py"))]
SPEED = re.compile(
    r"\b(pending|deferr\w*|chained|chains|accelerat\w*|forward_pending|combine|operations\[|lent|waiting|private)\b"
)
PATH = ["function", "memory", "backprop", "backward", "methods", "modes"]  # of the package's files, those to be read

SIDE = 96  # images of 2 x 4 x 96 x 96 numbers: far more than what the CPU's kernels leave to NumPy
IMAGES, FILTERS, CHANNELS, ROWS = (2, 4, SIDE, SIDE), (4, 4, 3, 3), (4,), (256, 300)


def test_no_word_of_speed() -> None:
    for path in READ:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found = SPEED.search(line)
            assert not found, f"{path.name}:{number} speaks of {found and found[0]!r}: {line.strip()}"


def test_the_tape_is_small() -> None:
    files = [PACKAGE / "tensors.py", *(PACKAGE / "autograd" / f"{name}.py" for name in PATH)]
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) <= 930
    lines = (PACKAGE / "autograd" / "function.py").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if "def apply(" in line)
    body = lines[next(number for number in range(start, len(lines)) if lines[number].strip() == "ctx = cls()") :]
    end = next(number for number, line in enumerate(body) if line.strip().startswith("return outputs"))
    assert end + 1 <= 25
    assert sum("recorder" in line for line in lines) <= 2  # the one thing that listens to the tape


def draws(*shapes: tuple[int, ...]) -> list[minicnn.Tensor]:
    rng = np.random.default_rng(0)
    return [minicnn.tensor(rng.standard_normal(shape).astype("float32"), requires_grad=True) for shape in shapes]


# What to compute so that a Function runs on arrays which the compiled kernels of the CPU would take.
CALLS = {
    "Add": lambda: sum_of(lambda a, b: a + b, IMAGES, IMAGES),
    "Sub": lambda: sum_of(lambda a, b: a - b, IMAGES, IMAGES),
    "Neg": lambda: sum_of(lambda a: -a, IMAGES),
    "Mul": lambda: sum_of(lambda a, b: a * b, IMAGES, (2, 4, 1, 1)),
    "Div": lambda: sum_of(lambda a, b: a / (b * b + 1), IMAGES, IMAGES),
    "Pow": lambda: sum_of(lambda a: a**2, IMAGES),
    "Remainder": lambda: sum_of(lambda a: a % 2, IMAGES),
    "Exp": lambda: sum_of(lambda a: a.exp(), IMAGES),
    "Log": lambda: sum_of(lambda a: (a * a + 1).log(), IMAGES),
    "Sqrt": lambda: sum_of(lambda a: (a * a + 1).sqrt(), IMAGES),
    "Abs": lambda: sum_of(lambda a: a.abs(), IMAGES),
    "Sin": lambda: sum_of(lambda a: a.sin(), IMAGES),
    "Cos": lambda: sum_of(lambda a: a.cos(), IMAGES),
    "Clamp": lambda: sum_of(lambda a: a.clamp(-1, 1), IMAGES),
    "Step": lambda: sum_of(lambda a: a.floor() + a, IMAGES),
    "Predicate": lambda: draws(IMAGES)[0].isnan(),
    "Maximum": lambda: sum_of(minicnn.maximum, IMAGES, IMAGES),
    "Minimum": lambda: sum_of(minicnn.minimum, IMAGES, IMAGES),
    "Where": lambda: sum_of(lambda a, b: minicnn.where(a > b, a, b), IMAGES, IMAGES),
    "Compare": lambda: draws(IMAGES)[0] > 0,
    "ReLU": lambda: sum_of(F.relu, IMAGES),
    "LeakyReLU": lambda: sum_of(F.leaky_relu, IMAGES),
    "Sigmoid": lambda: sum_of(F.sigmoid, IMAGES),
    "SiLU": lambda: sum_of(F.silu, IMAGES),
    "Tanh": lambda: sum_of(F.tanh, IMAGES),
    "Hardtanh": lambda: sum_of(F.relu6, IMAGES),
    "Sum": lambda: sum_of(lambda a: a.sum(1), IMAGES),
    "Mean": lambda: sum_of(lambda a: a.mean((2, 3)), IMAGES),
    "Var": lambda: sum_of(lambda a: a.var(), IMAGES),
    "Extreme": lambda: sum_of(lambda a: a.amax(1), IMAGES),
    "ExtremeAlong": lambda: sum_of(lambda a: a.max(1)[0], IMAGES),
    "Prod": lambda: sum_of(lambda a: a.prod(1), IMAGES),
    "Cumsum": lambda: sum_of(lambda a: a.cumsum(1), IMAGES),
    "RootOfSquares": lambda: sum_of(lambda a: a.norm(), IMAGES),
    "MatMul": lambda: sum_of(lambda a, b: a @ b, ROWS, (300, 64)),
    "Linear": lambda: sum_of(F.linear, ROWS, (64, 300), (64,)),
    "Conv2d": lambda: sum_of(lambda x, w, b: F.conv2d(x, w, b, padding=1), IMAGES, FILTERS, CHANNELS),
    "MaxPool2d": lambda: sum_of(lambda x: F.max_pool2d(x, 2), IMAGES),
    "AvgPool2d": lambda: sum_of(lambda x: F.avg_pool2d(x, 2), IMAGES),
    "AdaptiveAvgPool2d": lambda: sum_of(lambda x: F.adaptive_avg_pool2d(x, 1), IMAGES),
    "BatchNorm": lambda: sum_of(lambda x, w, b: F.batch_norm(x, None, None, w, b, True), IMAGES, CHANNELS, CHANNELS),
    "FixedNorm": lambda: sum_of(lambda x, w: F.batch_norm(x, minicnn.zeros(4), minicnn.ones(4), w), IMAGES, CHANNELS),
    "LocalResponseNorm": lambda: sum_of(lambda x: F.local_response_norm(x, 3), IMAGES),
    "Cat": lambda: sum_of(lambda a, b: minicnn.cat([a, b], 1), IMAGES, IMAGES),
    "Dropout": lambda: sum_of(F.dropout, IMAGES),
    "Softmax": lambda: sum_of(lambda x: F.softmax(x, 1), ROWS),
    "LogSoftmax": lambda: sum_of(lambda x: F.log_softmax(x, 1), ROWS),
    "SoftmaxCrossEntropy": lambda: sum_of(lambda x: F.cross_entropy(x, minicnn.zeros(256).long()), ROWS),
    "Reshape": lambda: sum_of(lambda a: a.reshape(-1), IMAGES),
    "Permute": lambda: sum_of(lambda a: a.permute(0, 2, 3, 1), IMAGES),
    "Expand": lambda: sum_of(lambda a: a.expand(8, 4, SIDE, SIDE), (1, 4, SIDE, SIDE)),
    "Pad": lambda: sum_of(lambda a: minicnn.pad(a, (1, 1)), IMAGES),
    "Flip": lambda: sum_of(lambda a: a.flip(0), IMAGES),
    "Clone": lambda: sum_of(lambda a: a.clone(), IMAGES),
    "Cast": lambda: sum_of(lambda a: a.double(), IMAGES),
    "Index": lambda: sum_of(lambda a: a[0], IMAGES),
    "IndexWrite": lambda: sum_of(lambda a: written(a * 1), IMAGES),
    "Gather": lambda: sum_of(lambda a: a.gather(0, minicnn.zeros(IMAGES).long()), IMAGES),
    "DeformIm2col": lambda: sum_of(
        lambda x, o, w: minicnn.deform_conv2d(x, o, w, padding=1), IMAGES, (2, 18, SIDE, SIDE), FILTERS
    ),
}


def sum_of(function, *shapes: tuple[int, ...]) -> None:
    function(*draws(*shapes)).sum().backward()


def written(x: minicnn.Tensor) -> minicnn.Tensor:
    x[0] = 1
    return x


def functions() -> dict[str, type[Function]]:
    names = (path.stem for path in (PACKAGE / "ops").glob("[a-z]*.py"))
    members = [m for name in names for m in vars(importlib.import_module(f"minicnn.ops.{name}")).values()]
    return {kind.__name__: kind for kind in members if isinstance(kind, type) and issubclass(kind, Function)}


@pytest.mark.parametrize("name", ["cpu", "reference"])
@pytest.mark.parametrize("operation", sorted(CALLS))
def test_what_an_operation_says_is_what_runs(operation: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = functions()[operation]
    calls: list[str] = []

    def counting(method: str):
        written_there = getattr(kind, method)

        def counted(*args, **options):
            calls.append(method)
            return written_there(*args, **options)

        return staticmethod(counted)

    for method in ("forward", "backward"):
        monkeypatch.setattr(kind, method, counting(method))
    with backend.use(name):
        CALLS[operation]()
    assert "forward" in calls
    assert "backward" in calls or kind.backward is Function.backward or operation in ("Compare", "Predicate")


def test_every_operation_is_among_those() -> None:
    helpers = {"Function", "Move", indexing.IndexOverwrite.__name__, inplace.Overwrite.__name__}
    assert set(functions()) - helpers == set(CALLS)


def test_arrows_between_tensor_and_tape() -> None:
    text = READ[0].read_text(encoding="utf-8")
    assert "autograd" not in "".join(line for line in text.splitlines() if "import" in line)
    assert {"backward", "detach", "grad", "requires_grad"} <= set(dir(minicnn.Tensor))
