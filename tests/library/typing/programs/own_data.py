"""A data set of one's own, and a folder of pictures."""

from pathlib import Path

import numpy as np
from PIL import Image

import minicnn as torch
from minicnn.data import DataLoader, Dataset, ImageFolder, TensorDataset, random_split, transforms
from minicnn.utils.data import DataLoader as SameLoader


class Squares(Dataset):
    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.full((2,), float(index)), index * index


train, test = random_split(Squares(10), [8, 2])
for numbers, squares in DataLoader(train, batch_size=4, shuffle=True, drop_last=True):
    assert bool((numbers[:, 0] ** 2 == squares).all())

for kind in ("cat", "dog"):
    Path("pictures", kind).mkdir(parents=True)
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(Path("pictures", kind, f"{number}.png"))

transform = transforms.Compose(
    [
        transforms.Resize(16),
        transforms.CenterCrop(12),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25]),
    ]
)
pictures = ImageFolder("pictures", transform=transform)
image, label = pictures[0]
for images, labels in DataLoader(pictures, batch_size=2, num_workers=2):
    assert images.shape == (2, 3, 12, 12) and labels.dtype == torch.int64
    images = images.mean(dim=(2, 3))

pairs = TensorDataset(torch.arange(6), torch.arange(6) % 2)
loader = SameLoader(pairs, 3)
few = torch.utils.data.Subset(pairs, [0, 2])
print(len(few), len(test), pictures.classes, label, image.shape, len(loader), [len(batch) for batch in loader])
