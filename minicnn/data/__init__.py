"""Data sets, transforms, and the loader that makes batches of them."""

from . import transforms
from .bundled import sample_photographs
from .cifar import CIFAR10, CIFAR100
from .collate import collate
from .dataset import (
    ArrayDataset,
    ConcatDataset,
    Dataset,
    Subset,
    TensorDataset,
    random_split,
    stratified_split,
)
from .digits import digits, digits_statistics
from .errors import DataError
from .folder import ImageFolder
from .images import load_image
from .labels import imagenet_labels, read_labels
from .loader import DataLoader
from .mnist import MNIST, FashionMNIST
from .sources import DataSource, open_data

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "ArrayDataset",
    "ConcatDataset",
    "DataError",
    "DataLoader",
    "DataSource",
    "Dataset",
    "FashionMNIST",
    "ImageFolder",
    "Subset",
    "TensorDataset",
    "collate",
    "digits",
    "digits_statistics",
    "imagenet_labels",
    "load_image",
    "open_data",
    "random_split",
    "read_labels",
    "sample_photographs",
    "stratified_split",
    "transforms",
]


def __dir__() -> list[str]:
    return __all__
