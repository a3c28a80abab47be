"""Models as ONNX files, which other tools read: runtimes, viewers such as Netron, converters.

    minicnn.onnx.export(model, minicnn.zeros(1, 3, 224, 224), "model.onnx")

The model's own ``forward`` is recorded in evaluation mode (``trace.py``), and each recorded operation becomes one node
or a few of ONNX's, by a table (``table.py``). The number of images stays open. Names are those of the model:
initialisers have the keys of ``state_dict()``, nodes the path of their module.
"""

from .errors import ExportError
from .exporting import export

__all__ = ["ExportError", "export"]
