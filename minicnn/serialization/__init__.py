"""Weights from files and into files: ``.pth`` (read only, without PyTorch), ``.safetensors`` and ``.npz``."""

from __future__ import annotations

from .reading import load, load_metadata, load_state_dict
from .writing import save

__all__ = ["load", "load_metadata", "load_state_dict", "save"]
