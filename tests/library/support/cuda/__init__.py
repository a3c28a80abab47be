"""The GPU without a GPU: a strict stand-in for CuPy on NumPy memory, and CUDA C compiled for the CPU."""
