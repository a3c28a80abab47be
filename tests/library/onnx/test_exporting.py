"""The file around the nodes: names, open lengths, metadata, what is refused and in which words."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.autograd import Function
from minicnn.models import create_model
from minicnn.nn import functional as F
from minicnn.onnx import ExportError
from tests.library.support.onnx_runs import Runtime, error, ours, reference

onnx = pytest.importorskip("onnx", reason="writes ONNX")


class Block(nn.Module):
    """A residual block with a shared layer and a scale of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.same = self.conv
        self.register_buffer("scale", minicnn.tensor([2.0, 3.0]).reshape(2, 1, 1))

    def forward(self, x: minicnn.Tensor) -> minicnn.Tensor:
        return F.relu(self.conv(x) + self.same(x) * self.scale)


class Doubled(Function):
    """An operation that has no entry in the table."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy * 2


def module(function: Callable[..., Any]) -> nn.Module:
    """A function as a module."""
    made = nn.Module()
    made.forward = function  # type: ignore[method-assign]
    return made


IMAGES = minicnn.zeros(1, 2, 4, 4)


def test_the_file_has_the_models_names(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 3), Block(), nn.Flatten(), nn.Linear(8, 3, bias=False))
    minicnn.onnx.export(model, IMAGES, tmp_path / "m.onnx", metadata={"classes": '["ä", "b"]'})
    found = onnx.load(tmp_path / "m.onnx")
    assert {tensor.name for tensor in found.graph.initializer} == {
        "0.weight", "0.bias", "1.conv.weight", "1.conv.bias", "1.scale", "3.weight",
    } | {name for name in (t.name for t in found.graph.initializer) if name.startswith("constant")}  # fmt: skip
    assert [node.name for node in found.graph.node] == [
        "0/Conv", "1.conv/Conv", "1.conv/Conv_1", "1/Mul", "1/Add", "1/Relu", "2/Reshape", "3/Gemm",
    ]  # fmt: skip
    assert {entry.key: entry.value for entry in found.metadata_props} == {"classes": '["ä", "b"]'}
    assert (found.producer_name, found.producer_version) == ("minicnn", minicnn.__version__)
    assert [entry.version for entry in found.opset_import] == [19]
    (x,), (y,) = found.graph.input, found.graph.output
    assert (x.name, y.name) == ("input", "output")
    assert x.type.tensor_type.shape.dim[0].dim_param == y.type.tensor_type.shape.dim[0].dim_param == "batch"
    shapes = {value.name for value in found.graph.value_info}
    assert shapes == {node.output[0] for node in found.graph.node[:-1]}


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.5))
    model[1].eval()
    before = {key: value.numpy().copy() for key, value in model.state_dict().items()}
    minicnn.manual_seed(3)
    expected = minicnn.rand(1).item()
    minicnn.manual_seed(3)
    exported = minicnn.onnx.export(model, IMAGES)
    assert minicnn.rand(1).item() == expected
    assert [m.training for m in model.modules()] == [True, True, False]
    assert all(np.array_equal(before[key], value.numpy()) for key, value in model.state_dict().items())
    assert [node.op_type for node in exported.graph.node] == ["BatchNormalization"]  # dropout is gone


def test_inputs_and_outputs_have_the_names_that_are_given() -> None:
    model = module(lambda a, b: {"sum": a + b, "pair": (a, [b * 2])})
    exported = minicnn.onnx.export(model, (IMAGES, IMAGES), input_names=["left", "right"], output_names=["s", "a", "b"])
    assert [value.name for value in exported.graph.input] == ["left", "right"]
    assert [value.name for value in exported.graph.output] == ["s", "a", "b"]
    x, y = np.random.default_rng(0).standard_normal((2, 3, 2, 4, 4)).astype("f")
    for found, expected in zip(Runtime(exported)(x, y), (x + y, x, y * 2), strict=True):
        np.testing.assert_array_equal(found, expected)
    for options in ({"input_names": ["a"]}, {"output_names": ["a", "a", "b"]}):
        with pytest.raises(ValueError, match="expected . different names"):
            minicnn.onnx.export(model, (IMAGES, IMAGES), **options)
    with pytest.raises(ValueError, match="output_names: 'input_0' is the name of an input or"):
        minicnn.onnx.export(model, (IMAGES, IMAGES), output_names=["input_0", "b", "c"])


def test_no_input_or_output_has_the_name_of_a_tensor_of_the_model() -> None:
    model = module(lambda x: x * model.input + model.output)
    model.input, model.output = nn.Parameter(minicnn.full((1,), 5.0)), nn.Parameter(minicnn.full((1,), 7.0))
    exported = minicnn.onnx.export(model, IMAGES)
    assert ([v.name for v in exported.graph.input], [v.name for v in exported.graph.output]) == (
        ["input_0"],
        ["output_0"],
    )
    x = np.random.default_rng(0).standard_normal((3, 2, 4, 4)).astype("f")
    np.testing.assert_allclose(Runtime(exported)(x)[0], 5 * x + 7, rtol=1e-6)
    for kind in ("input", "output"):
        with pytest.raises(ValueError, match=f"{kind}_names: '{kind}' is the name of .* the model's own tensors"):
            minicnn.onnx.export(model, IMAGES, **{f"{kind}_names": [kind]})


def test_a_file_for_one_number_of_images() -> None:
    exported = minicnn.onnx.export(nn.Flatten(), minicnn.zeros(3, 2, 4), dynamic_axes={})
    lengths = [dim.dim_value for dim in exported.graph.output[0].type.tensor_type.shape.dim]
    assert lengths == [3, 8]


def test_the_open_length_has_the_name_that_is_given() -> None:
    for axes in ({"input": {0: "n"}}, {"input": [0]}):
        exported = minicnn.onnx.export(nn.ReLU(), IMAGES, dynamic_axes=axes)
        name = exported.graph.input[0].type.tensor_type.shape.dim[0].dim_param
        assert name == ("n" if isinstance(axes["input"], dict) else "batch")
    with pytest.raises(ValueError, match=r"only the first length can be open, 0, got \[0, 2\] for 'input'"):
        minicnn.onnx.export(nn.ReLU(), IMAGES, dynamic_axes={"input": {0: "n", 2: "h"}})


def test_open_lengths_of_unknown_inputs_are_refused() -> None:
    minicnn.onnx.export(nn.ReLU(), IMAGES, dynamic_axes={"input": {0: "n"}, "output": {0: "n"}})
    with pytest.raises(ValueError, match="dynamic_axes: 'images' is none of the inputs and outputs: input, output"):
        minicnn.onnx.export(nn.ReLU(), IMAGES, dynamic_axes={"images": {0: "n"}})


def test_an_input_without_dimensions_stays_without() -> None:
    model = module(lambda scale, x: x * scale)
    exported = minicnn.onnx.export(model, (minicnn.tensor(1.0), IMAGES))
    x = np.ones((5, 2, 4, 4), "f")
    np.testing.assert_array_equal(Runtime(exported)(np.array(3, "f"), x)[0], 3 * x)
    with pytest.raises(ValueError, match="the input 'input_0' is a single number"):
        minicnn.onnx.export(model, (minicnn.tensor(1.0), IMAGES), dynamic_axes={"input_0": [0]})


def test_one_input_may_be_open_and_another_fixed() -> None:
    model = module(lambda x, table: x.flatten(1) @ table)
    exported = minicnn.onnx.export(model, (IMAGES, minicnn.zeros(32, 3)), dynamic_axes={"input_0": {0: "batch"}})
    x, table = np.ones((5, 2, 4, 4), "f"), np.ones((32, 3), "f")
    assert Runtime(exported)(x, table)[0].shape == (5, 3)


@pytest.mark.parametrize("opset", [18, 19, 21, None])
def test_every_version_of_the_operators(opset: int | None) -> None:
    model = create_model("resnet20")
    opset = opset or onnx.defs.onnx_opset_version()
    exported = minicnn.onnx.export(model, minicnn.zeros(1, 3, 32, 32), opset_version=opset)
    assert exported.opset_import[0].version == opset
    if opset <= 21:
        x = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype("f")
        assert error(Runtime(exported)(x)[0], ours(model, x)[0]) < 1e-4


def test_versions_that_do_not_exist_are_refused() -> None:
    for opset in (17, 1000):
        with pytest.raises(ValueError, match=rf"opset_version \(={opset}\) must be from 18 to \d+"):
            minicnn.onnx.export(nn.ReLU(), IMAGES, opset_version=opset)
    with pytest.raises(ExportError, match="DeformConv2d in .* needs opset_version 19 or later"):
        model = create_model("deformable_resnet18")
        minicnn.onnx.export(model, minicnn.zeros(1, 3, 64, 64), opset_version=18)


def test_a_compiled_model_is_the_model() -> None:
    model = Block()
    x = np.ones((2, 2, 4, 4), "f")
    exported = minicnn.onnx.export(minicnn.compile(model), IMAGES)
    assert error(Runtime(exported)(x)[0], ours(model, x)[0]) < 1e-5


def test_autocast_around_it_changes_nothing() -> None:
    model = Block()
    with minicnn.autocast("cpu"):
        inside = minicnn.onnx.export(model, IMAGES)
    assert inside == minicnn.onnx.export(model, IMAGES)


def test_float64_and_integers() -> None:
    model = create_model("resnet20").double()
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32))
    exported = minicnn.onnx.export(model, minicnn.zeros(1, 3, 32, 32, dtype="float64"))
    assert error(reference(exported, x)[0], ours(model, x)[0]) < 1e-12
    whole = minicnn.onnx.export(module(lambda x: (x * 2 - 1).float() / 2), minicnn.zeros(1, 3, dtype="int64"))
    np.testing.assert_array_equal(Runtime(whole)(np.array([[1, 2, 3]]))[0], np.array([[0.5, 1.5, 2.5]], "f"))


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no entry": (lambda x: Doubled.apply(x), "Doubled in the model itself: this operation has no entry in the table"),
    "several arrays": (
        lambda x: x[:, [0, 1], [1, 2]],
        "Index in .*: an index with an array and another array or number",
    ),
    "a number and an array": (
        lambda x: x[:, 0, :, [1, 2]],
        "Index in .*: an index with an array and another array or number",
    ),
    "the batch cut": (lambda x: x[: x.shape[0] // 2 + 1], "does not follow the number of images|along the batch"),
    "the batch in a number": (
        lambda x: x / (x.shape[0] + 1),
        "Div in .* does not follow the number of images: 3",
    ),
    "another forward": (lambda x: x + 1 if x.shape[0] == 2 else x - 1, "runs other operations"),
    "its numbers": (lambda x: x if x.mean() > 0 else -x, "Module cannot be exported, because its forward reads"),
    "random numbers": (lambda x: x + minicnn.rand(2, 4, 4), "draws random numbers"),
    "a constant of the batch": (
        lambda x: minicnn.cat([x, minicnn.zeros(x.shape[0], 1, 4, 4)], 1),
        r"Cat in .*makes a tensor of shape \(2, 1, 4, 4\) for 2 and of \(3, 1, 4, 4\) for 3; dynamic_axes={}",
    ),
    "the batch as an attribute": (lambda x: F.leaky_relu(x, x.shape[0]), "LeakyReLU in .*: a number that follows"),
    "a result of the batch": (
        lambda x: minicnn.zeros(x.shape[0], 2),
        r"what it returns does not follow the number of images: it makes a tensor of shape \(2, 2\)",
    ),
    "positions under wide padding": (
        lambda x: F.max_pool2d(x, 2, 3, dilation=2, ceil_mode=True, return_indices=True),
        "MaxPool2d in .*: positions under padding as wide as the kernel",
    ),
    "bits": (lambda x: x.long() & 3, "Compare in .*: bitwise_and has no entry"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_written_is_refused_and_named(name: str, tmp_path: Path) -> None:
    function, message = REFUSED[name]
    with pytest.raises(ExportError, match=message):
        minicnn.onnx.export(module(function), IMAGES, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_an_operation_is_named_with_its_module() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Sequential(module(Doubled.apply)))
    with pytest.raises(ExportError, match=r"^Doubled in 1\.0: this operation has no entry in the table"):
        minicnn.onnx.export(model, IMAGES)


def test_state_that_a_forward_changes_is_refused() -> None:
    model = nn.Module()
    model.register_buffer("count", minicnn.zeros(1))

    def forward(x: Any) -> Any:
        model.count += 1
        return x * model.count

    model.forward = forward  # type: ignore[method-assign]
    with pytest.raises(ExportError, match="writes into the model's own state"):
        minicnn.onnx.export(model, IMAGES)


def test_arguments_that_are_no_model_or_no_tensors() -> None:
    for model, args in ((F.relu, IMAGES), (nn.ReLU(), np.zeros(3)), (nn.ReLU(), ()), (nn.ReLU(), (IMAGES, 3))):
        with pytest.raises(TypeError, match="export: expected"):
            minicnn.onnx.export(model, args)  # type: ignore[arg-type]


def test_a_file_stays_what_it_was_if_anything_goes_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr("minicnn.onnx.exporting.MOST_BYTES", 10)
    with pytest.raises(ExportError, match=r"its numbers take \d+ bytes, and an ONNX file ends at 2 GiB"):
        minicnn.onnx.export(Block(), IMAGES, path)
    monkeypatch.undo()

    def refuse(*args: Any, **options: Any) -> None:
        raise onnx.checker.ValidationError("no")

    monkeypatch.setattr(onnx.checker, "check_model", refuse)
    with pytest.raises(ExportError, match="checker refuses the result: no"):
        minicnn.onnx.export(Block(), IMAGES, path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "minicnn-lecture\[onnx\]"'):
        minicnn.onnx.export(nn.ReLU(), IMAGES)


def test_every_operation_has_an_entry_or_a_reason() -> None:
    """An operation that is added to ``minicnn.ops`` shows up here."""
    from minicnn import ops
    from minicnn.onnx.table import RULES

    operations = {
        value
        for module in pkgutil.iter_modules(ops.__path__)
        for value in vars(importlib.import_module(f"minicnn.ops.{module.name}")).values()
        if isinstance(value, type) and issubclass(value, Function)
    } - {Function}  # fmt: skip
    without = {operation.__name__ for operation in operations - RULES.keys()}
    training = {"SoftmaxCrossEntropy", "Dropout"}
    assert without - training == {
        "DeformIm2col",  # written as a DeformConv with the product behind it
        "IndexOverwrite", "IndexWrite", "Overwrite",  # writes; recorded as new values where they can be
        "Move",  # between devices
        "Step",  # takes a function, which may hold tensors
    }  # fmt: skip
