"""``export``: from a model to a checked ONNX file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import count as numbers
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..compiler import CompiledModel
from ..nn import Module
from ..serialization.atomic import replacing
from ..tensors import Tensor
from . import elementwise, layers, shaping  # noqa: F401  (they fill the table)
from .builder import Builder
from .deformable import joined
from .errors import ExportError
from .table import RULES
from .trace import Array, Step, Trace, place, trace

OLDEST = 18  # from here on the axes of a reduction are an input, as the table writes them
MOST_BYTES = 2**31 - 2**20  # a message of this format ends at 2 GiB

#: Of each input, the name of each open length, by its number; PyTorch also takes a list of the numbers.
DynamicAxes = Mapping[str, Mapping[int, str] | Sequence[int]]


def export(
    model: Module,
    args: Tensor | tuple[Tensor, ...],
    f: str | os.PathLike[str] | None = None,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int = 19,
    dynamic_axes: DynamicAxes | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Any:
    """Write ``model`` as ONNX, after ``torch.onnx.export``; needs the library ``onnx``.

    The forward is recorded as it runs in evaluation, without dropout, with running statistics and outside of
    ``autocast``. What it does must not
    depend on the numbers (``if x.mean() > 0``). Heights and widths are fixed to those of ``args``.

    Args:
        model: any module, of this package or your own, on the CPU.
        args: an example of what it is called with, a tensor or several. Only shapes and dtypes count.
        f: the file; it is checked before it appears. ``None`` writes none.
        input_names, output_names: ``input`` and ``output`` unless given, with ``_0``, ``_1`` ... behind for several, or
            where the model has a tensor of that name.
        opset_version: of ONNX's operators, 18 or later; deformable convolution needs 19.
        dynamic_axes: which lengths are left open, ``{"input": {0: "batch"}}``: only the first of an input can be.
            ``None``: the first of every input, which is the number of images. ``{}``: none. Outputs may be named too,
            as for PyTorch: their lengths follow from the inputs'.
        metadata: text for the file's ``metadata_props``, by its key.

    Returns:
        the ``onnx.ModelProto``.

    Raises:
        ExportError: if the forward cannot be recorded, or has an operation without an entry in the table; names the
            operation and its module. Also for a model of 2 GiB or more, and one that the checker refuses.
        ImportError: without the library.
        ValueError: for names or axes that do not fit, and an ``opset_version`` that the library does not know.
        OSError: if the file cannot be written.
    """
    onnx = require_onnx()
    model = model.model if isinstance(model, CompiledModel) else model
    inputs = args if isinstance(args, tuple) else (args,)
    _check(model, inputs)
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST <= opset_version <= newest:
        raise ValueError(f"opset_version (={opset_version}) must be from {OLDEST} to {newest}")
    tensors = [*model.named_parameters(), *model.named_buffers()]
    own = {id(tensor): key for key, tensor in reversed(tensors)}
    names = _names("input", input_names, len(inputs), [*own.values()])
    free = _free(names, inputs, dynamic_axes)
    found = trace(model, inputs, [name in free for name in names])
    results = _names("output", output_names, len(found.results), [*own.values(), *names])
    if unknown := [name for name in dynamic_axes or () if name not in {*names, *results}]:
        raise ValueError(
            f"dynamic_axes: {unknown[0]!r} is none of the inputs and outputs: {', '.join([*names, *results])}"
        )

    builder = Builder(own, next((name for name in names if name in free), ""), opset_version)
    for name in (*names, *results, *own.values()):
        builder.unique(name)
    for name, array in zip(names, found.inputs, strict=True):
        builder.know(array, name)
    shapes = _write(builder, found)
    _name_results(builder, found, results, names)

    batch = next(iter(free.values()), "batch")
    described = [
        [_described(onnx, name, array, batch) for name, array in zip(group, arrays, strict=True)]
        for group, arrays in ((names, found.inputs), (results, found.results))
    ]
    inside = [_described(onnx, builder.name(a), a, batch) for a in shapes if builder.name(a) not in results]
    graph = onnx.helper.make_graph(builder.nodes, type(model).__name__, *described, value_info=inside)
    return _finished(onnx, graph, builder.initializers, opset_version, metadata or {}, f)


def require_onnx() -> Any:
    """The library ``onnx``. Raises ImportError, which says how to install it."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.shape_inference
    except ImportError as error:
        raise ImportError(
            'an export needs the library onnx: install it with `pip install "minicnn-lecture[onnx]"`'
        ) from error
    return onnx


def _check(model: Any, inputs: tuple[Any, ...]) -> None:
    if not isinstance(model, Module):
        raise TypeError(f"export: expected an nn.Module, got {type(model).__name__}")
    if not inputs or not all(isinstance(x, Tensor) for x in inputs):
        raise TypeError("export: expected a tensor, or a tuple of tensors, as args")
    for tensor in (*model.parameters(), *model.buffers(), *inputs):
        if tensor.is_cuda:
            raise ValueError(f"export: a tensor is on {tensor.device}: export model.cpu(), with args on the CPU")


def _names(kind: str, given: Sequence[str] | None, count: int, taken: Sequence[str]) -> list[str]:
    """The names of the inputs or outputs. Raises ValueError for too many, too few, or one that is there twice."""
    if given is None:
        if count == 1 and kind not in taken:
            return [kind]
        numbered = (f"{kind}_{index}" for index in numbers())
        return list(islice((name for name in numbered if name not in taken), count))
    names = list(given)
    if len(names) != count or len({*names}) != count or not all(names):
        raise ValueError(f"{kind}_names: expected {count} different names, got {names}")
    for name in names:
        if name in taken:
            raise ValueError(f"{kind}_names: {name!r} is the name of an input or of one of the model's own tensors")
    return names


def _free(names: Sequence[str], inputs: Sequence[Tensor], dynamic_axes: DynamicAxes | None) -> dict[str, str]:
    """For each input whose first length stays open, the name of that length."""
    open_ = [name for name, x in zip(names, inputs, strict=True) if x.ndim]  # a single number has no length
    if dynamic_axes is None:
        return dict.fromkeys(open_, "batch")
    free = {}
    for name, lengths in dynamic_axes.items():
        axes = dict(lengths) if isinstance(lengths, Mapping) else dict.fromkeys(lengths, "batch")
        if set(axes) != {0}:
            raise ValueError(f"dynamic_axes: only the first length can be open, 0, got {list(axes)} for {name!r}")
        if name in names and name not in open_:
            raise ValueError(f"dynamic_axes: the input {name!r} is a single number, without a length")
        free[name] = axes[0]
    return {name: free[name] for name in names if name in free}


def _write(builder: Builder, found: Trace) -> list[Array]:
    """Write all steps; the arrays that they made."""
    steps = joined(found.steps)
    read = [value for step in steps for value in _arrays((step.args, step.options))]
    builder.read = {id(value) for value in (*read, *found.results)}
    made = []
    for step in steps:
        builder.path, builder.step = step.path, step
        names = _by_rule(builder, step)
        for array, name in zip(step.outputs, names if isinstance(names, tuple) else (names,), strict=True):
            if name is not None:
                builder.know(array, name)
                made.append(array)
    builder.path = ""
    return made


def _by_rule(builder: Builder, step: Step) -> Any:
    where = place(step.operation.__name__, step.path)
    if step.operation not in RULES:
        raise ExportError(f"{where}: this operation has no entry in the table of minicnn.onnx")
    try:
        return RULES[step.operation](builder, *step.args, **step.options)
    except ExportError as error:
        raise ExportError(f"{where}: {error}") from None


def _arrays(structure: Any) -> list[Array]:
    if isinstance(structure, Array):
        return [structure]
    if isinstance(structure, dict):
        structure = tuple(structure.values())
    return [array for part in structure for array in _arrays(part)] if isinstance(structure, (tuple, list)) else []


def _name_results(builder: Builder, found: Trace, results: Sequence[str], inputs: Sequence[str]) -> None:
    """Give the results their names: the node that makes one does it, or else a node that only passes it on."""
    fixed = {*inputs, *builder.initializers}
    for array, name in zip(found.results, results, strict=True):
        now = builder.name(array)
        if now in fixed or now in builder.initializers:
            label = builder.node("Identity", now)
            builder.rename(label, name)
        else:
            builder.rename(now, name)
            fixed.add(name)


def _described(onnx: Any, name: str, array: Array, batch: str) -> Any:
    lengths = [n if isinstance(n, int) else batch if n.times == 1 else f"{n.times}*{batch}" for n in array.shape]
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), lengths)


def _finished(
    onnx: Any, graph: Any, initializers: Mapping[str, np.ndarray], opset: int, metadata: Mapping[str, str], f: Any
) -> Any:
    """The model around ``graph``, checked, and in its place. Large weights are copied as seldom as can be."""
    from .. import __version__

    size = sum(array.nbytes for array in initializers.values())
    if size > MOST_BYTES:
        raise ExportError(f"its numbers take {size:,} bytes, and an ONNX file ends at 2 GiB")
    opsets = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(
        graph,
        producer_name="minicnn",
        producer_version=__version__,
        opset_imports=opsets,
        ir_version=onnx.helper.find_min_ir_version_for(opsets),
    )
    onnx.helper.set_model_props(model, dict(metadata))
    for name, array in initializers.items():
        dtype = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        model.graph.initializer.add(name=name, data_type=dtype, dims=array.shape, raw_data=array.tobytes())
    if f is None:
        _check_file(onnx, model)
    else:
        with replacing(f) as temporary:
            Path(temporary).write_bytes(model.SerializeToString())
            _check_file(onnx, temporary)
    return model


def _check_file(onnx: Any, model: Any) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"onnx's own checker refuses the result: {error}") from error


__all__ = ["export"]
