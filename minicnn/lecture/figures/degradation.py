"""Figure ``degradation`` (L2.2.2, L2.2.3, L2.2.4): a deeper plain network trains worse, a deeper residual one does not.

Claim [He et al., CVPR 2016, Figures 1 and 6]: of two plain networks the deeper one has the higher *training* error, so
it does not over-fit: it is not optimised well. With shortcuts, which cost no parameter, this does not happen.

The four networks are the paper's for small images, 20 and 56 layers, plain and residual, in full width. Smaller are the
data, 8 x 8 digits (with ``--data cifar10:DIR`` the paper's), and the training: 12 epochs instead of 164, and no
augmentation. The rest is section 4.2's recipe: SGD with momentum 0.9, weight decay 1e-4, He initialisation, and a
learning rate of 0.1 for 128 images per step, so 0.05 for the 64 here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ... import nn, optim
from ...data import DataSource, open_data
from ...models import create_model
from ...random import manual_seed
from ...tensors import Tensor
from ...utils import style
from ..analyses.lesion import error_rate
from ..base import Figure, Settings, Size, Table
from ..training import Images, fit

NETWORKS = ("plain20", "plain56", "resnet20", "resnet56")
PAIRS = {"plain": (0, 1), "residual": (2, 3)}  # shallow and deep
LR, BATCH_SIZE = 0.05, 64


FULL = Size(seeds=3, epochs=12)
QUICK = Size(epochs=2, images=256)


@dataclass
class Degradation:
    """The curves, each (4, seeds, epochs), one row per network of ``NETWORKS``.

    ``train_loss`` and ``train_error`` are measured during the epoch, ``test_error`` after it; errors are in per cent.
    ``data`` names the images.
    """

    train_loss: np.ndarray
    train_error: np.ndarray
    test_error: np.ndarray
    data: str


def load(source: DataSource, split: str, count: int | None) -> Images:
    """The first ``count`` images of a split, normalised, all for ``None``."""
    part = getattr(source, split)
    rows = np.arange(len(part) if count is None else min(count, len(part)))
    images, labels = part.batch(rows, np.random.default_rng(0))
    return images.numpy(), labels.numpy()


def curves(
    model: nn.Module, train: Images, test: Images, size: Size, seed: int, tell: Callable[[str], None]
) -> np.ndarray:
    """Train ``model`` on its device: training loss, training error and test error after each epoch, (3, epochs)."""
    device = next(model.parameters()).device
    test_images, test_labels = (Tensor(array).to(device) for array in test)
    lines: list[tuple[float, float, float]] = []

    def note(epoch: int, loss: float, error: float) -> None:
        lines.append((loss, error, error_rate(model, test_images, test_labels)))
        tell(f"epoch {epoch} of {size.epochs}: loss {loss:.3f}, error {error:.1f} %, test error {lines[-1][2]:.1f} %")

    rng = np.random.default_rng(seed)
    fit(model, train, size.epochs, rng, LR, BATCH_SIZE, optim.SGD, note, momentum=0.9, weight_decay=1e-4)
    return np.array(lines).T


def compute(settings: Settings) -> Degradation:
    """Train the four networks with every seed."""
    size = QUICK if settings.quick else FULL
    source = open_data(settings.data, augment=False)
    train, test = (load(source, split, size.images) for split in ("train", "test"))
    found = np.empty((len(NETWORKS), size.seeds, 3, size.epochs))
    for row, name in enumerate(NETWORKS):
        for i in range(size.seeds):
            manual_seed(settings.seed + i)
            model = create_model(name, num_classes=source.num_classes, in_channels=source.in_channels)
            tell = partial(_tell, settings, f"{name}, seed {settings.seed + i}")
            found[row, i] = curves(model.to(settings.device), train, test, size, settings.seed + i, tell)
    return Degradation(found[:, :, 0], found[:, :, 1], found[:, :, 2], source.name)


def _tell(settings: Settings, run: str, line: str) -> None:
    settings.progress(f"{run}, {line}")


def table(data: Degradation) -> Table:
    """The last epoch of each network: mean and standard deviation over the seeds."""
    header = ["network"]
    columns = []
    for label, values in (
        ("training error %", data.train_error),
        ("training loss", data.train_loss),
        ("test error %", data.test_error),
    ):
        header += [label, "spread"]
        last = values[:, :, -1]
        columns += [last.mean(axis=1).round(3), last.std(axis=1).round(3)]
    return header, [[name, *map(float, row)] for name, row in zip(NETWORKS, np.transpose(columns), strict=True)]


def verdict(data: Degradation) -> str:
    """What was seen."""
    error = data.train_error[:, :, -1]
    seeds = error.shape[1]
    parts = []
    for kind, (shallow, deep) in PAIRS.items():
        worse = int((error[deep] > error[shallow]).sum())
        parts.append(
            f"of the {kind} networks the deeper ended with {error[deep].mean():.1f} % training error, the other with "
            f"{error[shallow].mean():.1f} %: the deeper trained worse with {worse} of {seeds} seeds"
        )
    return "; ".join(parts)


def draw(data: Degradation) -> Any:
    """The paper's Figure 6: training and test error by epoch, plain networks left, residual ones right."""
    drawing = style.picture(4.0)
    epochs = np.arange(1, data.train_error.shape[2] + 1)
    panels = drawing.subplots(1, 2, sharey=True)
    for axes, (kind, pair) in zip(panels, PAIRS.items(), strict=True):
        ends = []
        axes.set(title=f"{kind} networks", xlabel="epoch", ylim=(-2, 100), xticks=epochs[1::2])
        for row, look in zip(pair, style.LOOKS, strict=False):
            for values, what in ((data.train_error[row], "training"), (data.test_error[row], "test")):
                test = what == "test"
                options = {} if test else {"linewidth": 1.2, "marker": "", "linestyle": "--"}
                axes.plot(epochs, values.mean(axis=0), **look.line(**{"linestyle": "-", "linewidth": 2.0, **options}))
                axes.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=look.colour, alpha=0.12, lw=0)
                ends.append((f"{NETWORKS[row]}, {what}", epochs[-1], values[:, -1].mean()))
        style.label_ends(axes, ends)
    panels[0].set_ylabel("error (%)")
    seeds = data.train_error.shape[1]
    shown = f"mean and range of {seeds} seeds" if seeds > 1 else "one seed"
    drawing.suptitle(f"Degradation (L2.2.2): {data.data}, {len(epochs)} epochs, {shown}")
    return drawing


FIGURE = Figure(
    name="degradation",
    lecture=("L2.2.2", "L2.2.3", "L2.2.4"),
    claim="a deeper plain network has the higher training error; with shortcuts it does not",
    result=Degradation,
    compute=compute,
    table=table,
    draw=draw,
    verdict=verdict,
    chooses_data=True,
)
