"""What goes wrong with an export."""


class ExportError(ValueError):
    """The model cannot be written as ONNX; the message says which operation or input is the reason."""
