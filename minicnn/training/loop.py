"""The training loop: what happens to a batch, in an epoch, and over a run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from .. import backend
from ..amp import GradScaler, autocast
from ..autograd import no_grad
from ..backend.cuda.transfer import prefetch
from ..compiler import compile
from ..devices import as_device
from ..distributed import DistributedDataParallel
from ..models.googlenet import auxiliary_loss
from ..nn import Module
from ..nn.functional import cross_entropy
from ..optim import Optimizer
from ..optim.lr_scheduler import LRScheduler
from ..random import default_generator
from ..tensors import Tensor
from .declared import check
from .graphed import GraphedStep
from .metrics import ClassificationMetrics, prefixed
from .ranks import add_up, agree_on_buffers, ranks, require_weighable, seed_epoch, weight_of

# The entries of a history line that measure time and so differ from run to run; all others are reproducible.
WALL_CLOCK = ("seconds", "images_per_second")

# To read a loss is to wait for the GPU, which then has nothing to do. So the losses of up to so many batches are read
# together, and the metrics of a GPU come late.
READ_EVERY = 50

Outcome = tuple[Tensor, Tensor, Tensor]  # of a batch: logits, loss, targets


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite."""


class Trainer:
    """Trains a classifier epoch by epoch; its attributes hold everything that a resumed run must restore.

    Args:
        model: returns logits (N, num_classes); in training it may return a tuple of logits, the main ones first and
            then those of auxiliary classifiers, whose losses count with weight 0.3.
        optimizer, scheduler: stepped after every batch.
        train_loader: yields ``(images, targets)`` batches; ``set_epoch(epoch)`` decides their order.
        validation_loader: used after every epoch; None for no validation.
        num_classes: how many classes the targets have.
        label_smoothing: the share of the target that is spread over all classes, in the training loss and, so that
            the two can be compared, in the validation loss.
        device: where the batches are placed; the model must be there already.
        compiled: run the model by ``minicnn.compile``.
        autocast: ``"bfloat16"`` or ``"float16"``: compute products of the training so, the loss scaled for the latter.
            Evaluation computes in float32, as those will who use the weights.

    In a process group it trains with all other ranks: the loaders must then be ``ShardedLoader`` objects, that of the
    training with ``drop_last``; else it raises ValueError.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        train_loader: Any,
        validation_loader: Any,
        num_classes: int,
        label_smoothing: float = 0.0,
        device: str = "cpu",
        compiled: bool = False,
        autocast: str | None = None,
    ) -> None:
        self.model = model
        self.network = compile(model) if compiled else model
        if ranks() > 1:
            require_weighable(train_loader)
            self.network = DistributedDataParallel(self.network)
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.train_loader = train_loader
        self.validation_loader = validation_loader
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.device = device
        self.autocast = autocast
        self.scaler = GradScaler(enabled=autocast == "float16")
        self.read_every = READ_EVERY if as_device(device).type == "cuda" else 1
        self.history: list[dict[str, Any]] = []  # one line per epoch
        self.step = GraphedStep(self)

    @property
    def epoch(self) -> int:
        """How many epochs have been completed."""
        return len(self.history)

    def fit(
        self,
        epochs: int,
        on_step: Callable[[ClassificationMetrics], None] = lambda metrics: None,
        on_epoch: Callable[[dict[str, Any]], None] = lambda line: None,
    ) -> list[dict[str, Any]]:
        """Train until ``epochs`` are completed, counting those made before, and return the history.

        Args:
            on_step: called after every batch with the epoch's metrics so far.
            on_epoch: called after every epoch with its line of the history.

        Raises:
            TrainingDiverged: when the loss is no longer finite.
        """
        while self.epoch < epochs:
            start = time.perf_counter()
            trained = self.train_epoch(on_step)
            seconds = time.perf_counter() - start
            line = {
                "epoch": self.epoch + 1,
                "lr": float(self.optimizer.param_groups[0]["lr"]),
                **prefixed("train", trained.summary()),
            }
            if self.validation_loader is not None:
                line |= prefixed("validation", self.evaluate(self.validation_loader))
            line["images_per_second"] = trained.count / seconds
            line["seconds"] = time.perf_counter() - start
            self.require_finite()
            self.history.append(line)
            on_epoch(line)
        return self.history

    def train_epoch(self, on_step: Callable[[ClassificationMetrics], None]) -> ClassificationMetrics:
        """One pass over the training images."""
        self.model.train()
        self.train_loader.set_epoch(self.epoch)
        seed_epoch(self.train_loader, self.epoch)
        self.step.begin_epoch()
        metrics = ClassificationMetrics(self.num_classes)
        unread: list[Outcome] = []
        for images, targets in self.batches(self.train_loader):
            logits, loss = self.step.forward(images, targets)
            unread.append((logits, loss.detach(), targets))
            if len(unread) == self.read_every:  # before the update, if that is not part of the step
                self.read(unread, metrics)
            self.step.update(loss, weight_of(len(targets), self.train_loader))
            self.scheduler.step()
            on_step(metrics)
        self.read(unread, metrics)
        agree_on_buffers(self.model)
        return add_up(metrics)

    def read(self, unread: list[Outcome], metrics: ClassificationMetrics) -> None:
        """Move the outcomes of batches into ``metrics``. On a GPU this waits until they have been computed.

        Raises:
            TrainingDiverged: for a loss that is no longer finite.
        """
        for logits, loss, targets in unread:
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingDiverged(self.explain_divergence(f"the loss became {value}"))
            metrics.add(value, logits.cpu().numpy(), targets.cpu().numpy())
        unread.clear()

    def evaluate(self, loader: Any) -> dict[str, float]:
        """Loss, top-1 and top-5 accuracy of the network as it is now, with running statistics and no dropout.

        Raises:
            TrainingDiverged: when the loss is not finite.
        """
        self.model.eval()
        metrics = ClassificationMetrics(self.num_classes)
        unread: list[Outcome] = []
        with no_grad():
            for images, targets in self.batches(loader):
                logits, loss = self.forward(images, targets)
                unread.append((logits, loss, targets))
                if len(unread) == self.read_every:
                    self.read(unread, metrics)
        self.read(unread, metrics)
        return add_up(metrics).summary()

    def batches(self, loader: Any) -> Iterable[tuple[Tensor, Tensor]]:
        """The loader's batches on the trainer's device; to a GPU each is copied while the one before is in use."""
        place = as_device(self.device)
        if place.type != "cuda":
            return ((images.to(place), targets.to(place)) for images, targets in loader)
        hosted = ((images.numpy(), targets.numpy()) for images, targets in loader)
        arrived = prefetch(backend.get(place), hosted, place.index or 0)
        return ((Tensor.wrap(images, place), Tensor.wrap(targets, place)) for images, targets in arrived)

    def forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The (detached) main logits of a batch, and its loss."""
        short = self.autocast is not None and self.model.training
        with autocast(as_device(self.device).type, self.autocast, enabled=short):
            output = self.network(images)
            logits = output[0] if isinstance(output, tuple) else output
            loss = auxiliary_loss(output, targets, partial(cross_entropy, label_smoothing=self.label_smoothing))
        return logits.detach().float(), loss

    def update(self, loss: Tensor, weight: Any) -> None:
        """Change the weights by the gradient of ``loss``, of which ``weight`` counts (``None`` for all)."""
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward(weight)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def require_finite(self) -> None:
        """Raise TrainingDiverged for a state with NaN or infinity in it, from which no run could be resumed."""
        state = self.state_dict()
        try:
            check(state, state)
        except ValueError as error:
            raise TrainingDiverged(self.explain_divergence(str(error))) from None

    def explain_divergence(self, seen: str) -> str:
        """What can be done about a loss or a state that is NaN or infinite."""
        rate = self.optimizer.param_groups[0]["lr"]
        return (
            f"{seen} in epoch {self.epoch + 1} at learning rate {rate:.3g}: lower the learning rate (--lr), or let "
            "detect_anomaly (--detect-anomaly) name the operation where the first such number appears"
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on. Model and optimiser give their own tensors, not copies."""
        return {
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": default_generator.get_state(),
            "history": self.history,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` returned.

        Raises:
            ValueError: if the state is of another network or optimiser, or has a number that is not finite.
        """
        try:
            state = {"scaler": {}, **state}  # those of an earlier version have none
            expected = self._like(state)
            check({key: state[key] for key in expected}, expected)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            self.scaler.load_state_dict(state["scaler"])
            default_generator.set_state(state["random"])
            self.history = list(state["history"])
            self.step.reset()
        except (LookupError, TypeError, AttributeError, RuntimeError, ValueError, OverflowError) as error:
            raise ValueError(f"the state does not fit this training: {error}") from error

    def _like(self, state: dict[str, Any]) -> dict[str, Any]:
        """What ``state`` must look like: the present state, with the moments and the history of as many epochs."""
        own = self.state_dict()
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        moments = {
            index: {name: int if name == "step" else parameters[index].detach() for name in entry}
            for index, entry in state["optimizer"]["state"].items()
        }
        parts = ("train",) if self.validation_loader is None else ("train", "validation")
        means = {
            f"{part}_{name}": float for part in parts for name in ClassificationMetrics(self.num_classes).summary()
        }
        line = {"epoch": int, "lr": float, **means, "images_per_second": float, "seconds": float}
        return {
            **own,
            "optimizer": {**own["optimizer"], "state": moments},
            "history": [line] * len(state["history"]),
        }
