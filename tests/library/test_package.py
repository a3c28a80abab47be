"""The package as a whole: what an import costs, what is public, and what no module may do."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import minicnn

PACKAGE = Path(minicnn.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# Imported only by the function that uses them, so that `import minicnn` stays quick.
LAZY = (
    "numba", "llvmlite", "matplotlib", "PIL", "tqdm", "safetensors", "cupy", "numpy.random",
)  # fmt: skip

# Never imported: what minicnn is compared with does none of its work.
PEERS = ("sklearn", "torch", "torchvision", "timm", "jax", "tensorflow", "onnxruntime")

PUBLIC = {
    "minicnn": """
        Tensor tensor as_tensor from_numpy zeros ones full empty arange linspace eye rand randn randint
        randperm zeros_like ones_like manual_seed no_grad enable_grad set_grad_enabled is_grad_enabled
        detect_anomaly cat stack flatten load save set_default_dtype get_default_dtype device float32
        float64 tanh exp log sqrt sigmoid relu softmax log_softmax matmul where maximum nn optim autograd
        data models
    """,
    "minicnn.Tensor": """
        shape dtype device data grad requires_grad is_leaf ndim backward detach numpy item to cuda
        cpu double float sum mean var max min argmax reshape view permute transpose flatten pow sqrt exp log
        tanh clamp relu sigmoid softmax log_softmax matmul size numel dim retain_grad register_hook
        requires_grad_ clone add_ sub_ mul_ div_ zero_ fill_ copy_ normal_ uniform_ clamp_ __add__ __radd__
        __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __pow__ __neg__ __matmul__ __getitem__
        __setitem__ __len__ __iter__ __bool__ __float__ __int__ __array__ __eq__ __lt__ __gt__
    """,
    "minicnn.autograd": "Function backward grad gradcheck",
    "minicnn.nn": """
        Module Parameter Sequential ModuleList ModuleDict Identity Flatten Conv2d BatchNorm2d
        LocalResponseNorm Linear ReLU SiLU Sigmoid Tanh Softmax Dropout MaxPool2d AvgPool2d
        AdaptiveAvgPool2d CrossEntropyLoss init functional
    """,
    "minicnn.nn.Module": """
        parameters named_parameters buffers modules named_modules children state_dict load_state_dict train
        eval to double float apply zero_grad requires_grad_ register_buffer register_forward_hook
    """,
    "minicnn.nn.functional": """
        conv2d linear max_pool2d avg_pool2d adaptive_avg_pool2d batch_norm local_response_norm relu sigmoid
        silu tanh softmax log_softmax dropout cross_entropy nll_loss mse_loss pad
    """,
    "minicnn.nn.init": """
        calculate_gain kaiming_normal_ kaiming_uniform_ xavier_normal_ xavier_uniform_ normal_ uniform_
        constant_ zeros_ ones_
    """,
    "minicnn.optim": "SGD Adam AdamW lr_scheduler",
    "minicnn.optim.lr_scheduler": "StepLR MultiStepLR CosineAnnealingLR LinearLR",
    "minicnn.data": "Dataset DataLoader",
    "minicnn.models": """
        create_model list_models resnet18 resnet34 resnet50 resnet101 resnet152 plain18 plain34 resnet20
        resnet32 resnet44 resnet56 resnet110 plain20 plain32 plain44 plain56 plain110
    """,
}

PACKAGES = [
    *("minicnn", "minicnn.autograd", "minicnn.data", "minicnn.models", "minicnn.nn", "minicnn.nn.functional"),
    *("minicnn.optim", "minicnn.optim.lr_scheduler"),
]
PUBLIC_MODULES = {
    *("minicnn.amp", "minicnn.backend", "minicnn.cuda", "minicnn.data.transforms", "minicnn.jit", "minicnn.nn.init"),
    *("minicnn.nn.utils", "minicnn.onnx", "minicnn.random", "minicnn.utils", *PACKAGES),
}


def test_no_module_of_ops_is_public() -> None:
    """``minicnn.loss`` would hide that there is no such thing in PyTorch; ``minicnn.ops.loss`` is the module."""
    modules = {name: value.__name__ for name, value in vars(minicnn).items() if inspect.ismodule(value)}
    assert [name for name, module in modules.items() if module.startswith("minicnn.ops.")] == []


OF_TESTS = ("tinynet", "smallnet")  # models that other tests register


@pytest.mark.parametrize("name", PACKAGES)
def test_dir_shows_the_public_names_only(name: str) -> None:
    package = importlib.import_module(name)
    shown = [word for word in dir(package) if word not in ("__version__", *OF_TESTS)]
    assert set(shown) == set(package.__all__)
    assert len(package.__all__) == len(set(package.__all__))
    assert all(hasattr(package, word) for word in shown)
    modules = {value.__name__ for word in shown if inspect.ismodule(value := getattr(package, word))}
    assert modules <= PUBLIC_MODULES, "an internal module"


def test_a_star_imports_what_dir_shows() -> None:
    names = run_python("before = {*globals()}; from minicnn import *; print(*globals().keys() - before - {'before'})")
    assert set(names.split()) == set(minicnn.__all__)


def test_every_model_is_public() -> None:
    """An editor knows only the builders that ``models/__init__.py`` names."""
    code = "from minicnn import models; print(*set(models.list_models()) - set(models.__all__))"
    missing = run_python(code).split()  # other tests register models of their own
    assert missing == [], "to be imported under TYPE_CHECKING, and added to __all__, in models/__init__.py"


def test_every_operation_is_public() -> None:
    functions = {name for name, value in vars(minicnn.ops).items() if inspect.isfunction(value)}
    assert functions - set(minicnn.ops.__all__) == {"attach", "guard"}
    assert all(inspect.isfunction(getattr(minicnn, name)) for name in minicnn.ops.__all__)
    assert sorted(minicnn.ops.__all__) == minicnn.ops.__all__


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_packages(path: Path) -> set[str]:
    """The top-level packages that a file imports anywhere, function bodies included."""
    packages: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            packages.add((node.module or "").partition(".")[0])
    return packages


def run_python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("statement", ["import minicnn", "import minicnn.cli"])
def test_import_loads_nothing_heavy(statement: str) -> None:
    loaded = run_python(f"{statement}, sys; print(*sys.modules)").split()
    assert set(loaded) & {*LAZY, *PEERS} == set()


def test_import_leaves_the_callers_random_numbers_alone() -> None:
    code = "import numpy, random; a = numpy.random.get_state()[1].tolist(), random.getstate(); import minicnn; "
    code += "print((numpy.random.get_state()[1].tolist(), random.getstate()) == a)"
    assert run_python(code).strip() == "True"


def test_only_the_sandbox_needs_what_windows_does_not_have() -> None:
    command = [sys.executable, "-m", "tests.library.support.elsewhere"]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    failed = [line.split()[0] for line in done.stdout.splitlines()]
    assert failed == ["minicnn.course.grading.canary", "minicnn.course.grading.confined"]  # which run on Linux alone


@pytest.mark.parametrize(("owner", "names"), PUBLIC.items(), ids=PUBLIC)
def test_public_names_exist(owner: str, names: str) -> None:
    module, _, rest = owner.partition(".")
    thing = importlib.import_module(module)
    for part in rest.split(".") if rest else ():
        thing = getattr(thing, part)
    assert [name for name in names.split() if not hasattr(thing, name)] == []


def test_the_version_is_that_of_the_distribution() -> None:
    try:
        installed = importlib.metadata.version("minicnn-lecture")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("minicnn runs from its source tree, not installed")
    assert minicnn.__version__ == installed


def test_all_lists_names_that_exist_once() -> None:
    problems = []
    for path in MODULES:
        if path.stem == "__main__":
            continue  # importing it runs the command
        module = importlib.import_module(module_name(path))
        names = getattr(module, "__all__", [])
        problems += [f"{module.__name__}: {name} is listed twice" for name in set(names) if names.count(name) > 1]
        problems += [f"{module.__name__} has no {name}" for name in names if not hasattr(module, name)]
    assert problems == []


def test_every_module_says_what_it_is_for() -> None:
    for path in MODULES:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        first_sentence = docstring.partition("\n\n")[0].rstrip()
        assert first_sentence.endswith((".", ":")), f"{module_name(path)} does not open with a sentence"


def test_no_module_imports_a_peer() -> None:
    assert [module_name(path) for path in MODULES if imported_packages(path) & set(PEERS)] == []


@pytest.mark.parametrize("code", ["import torch.nn as nn", "def f():\n    from torchvision import models"])
def test_an_import_of_a_peer_is_seen_wherever_it_hides(code: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(code, encoding="utf-8")
    assert imported_packages(path) & set(PEERS)
