"""Names of classes: ImageNet's, and those in a file of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from minicnn.data import DataError, imagenet_labels, read_labels
from tests.library.support import peers


def test_the_labels_are_imagenets() -> None:
    labels = imagenet_labels()
    assert len(labels) == 1000 == len(set(labels))
    assert (labels[0], labels[281], labels[999]) == ("tench", "tabby", "toilet tissue")
    torchvision = peers.torchvision()
    assert list(labels) == torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]


def test_labels_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("\ufeffBär\r\n\r\n Katze \nHund", encoding="utf-8")
    assert read_labels(path) == ("Bär", "Katze", "Hund")
    for content, message in ((b"\xff\xfe\x00", "expected text"), (b" \n\n", "no class name")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_labels(path)
    with pytest.raises(DataError, match=r"nowhere.txt': No such file"):
        read_labels(tmp_path / "nowhere.txt")
