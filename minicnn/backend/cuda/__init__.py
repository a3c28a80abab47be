"""The GPU: CuPy for arrays and matrix products, CUDA C (``kernels/*.cu``) for the rest. See ``docs/gpu.md``.

Importing this package imports no CuPy; ``minicnn.backend.load("cuda")`` does.

TensorFloat-32 rounds the factors of a float32 product to 10 bits and adds up in float32, several times faster on GPUs
from 2020 on. The two switches below have PyTorch's defaults: convolutions may use it, other matrix products may not.

``convolution`` chooses who convolves: ``"im2col"``, which is to be read, or ``"cudnn"``, NVIDIA's library.
"""

from __future__ import annotations

convolution = "im2col"  # or "cudnn", with the extra cudnn13 or cudnn12
allow_tf32_convolutions = True
allow_tf32_matmuls = False
