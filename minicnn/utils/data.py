"""``minicnn.data`` where PyTorch has it: ``from minicnn.utils.data import DataLoader``."""

from ..data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, random_split

__all__ = ["ConcatDataset", "DataLoader", "Dataset", "Subset", "TensorDataset", "random_split"]
