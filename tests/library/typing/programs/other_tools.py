"""Out to other tools: memory shared by DLPack, and a network as an ONNX file."""

from pathlib import Path

import numpy as np

import minicnn as torch
from minicnn import Tensor, nn
from minicnn.utils.dlpack import from_dlpack, to_dlpack

x = torch.arange(6).float().reshape(2, 3)
array: np.ndarray = np.from_dlpack(x)
back: Tensor = torch.from_dlpack(array)
copy: Tensor = torch.from_dlpack(x, device="cpu", copy=True)
again: Tensor = from_dlpack(to_dlpack(x))
kind, number = x.__dlpack_device__()
total = (back + copy + again).sum().item() + kind + number


def save(model: nn.Module, path: Path) -> None:
    """Not called here: it needs another library."""
    torch.onnx.export(model, torch.zeros(1, 3, 32, 32), path, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    torch.onnx.export(model, (x, back), str(path), output_names=["y"], opset_version=19, metadata={"model": "mine"})
