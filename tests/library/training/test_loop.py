"""The training loop: what the steps written out do, what callbacks see, and when it stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import nn, optim
from minicnn.data import DataLoader
from minicnn.models.googlenet import AUXILIARY_WEIGHT
from minicnn.training import Trainer, TrainingDiverged, load_checkpoint, save_checkpoint
from minicnn.training.progress import epoch_line
from tests.library.support.runs import blobs

# --- the loop -------------------------------------------------------------------------------------------------


def small_net(dropout: float = 0.0) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(12, 2)
    )


def make_trainer(model: nn.Module | None = None, seed: int = 0, **options: Any) -> Trainer:
    minicnn.manual_seed(seed)
    model = small_net(dropout=0.2) if model is None else model
    optimizer = optim.SGD(model.parameters(), lr=options.pop("lr", 0.05), momentum=0.9)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 7, gamma=0.5)
    train = DataLoader(blobs(48, 1), 16, shuffle=True, seed=seed)
    validation = DataLoader(blobs(20, 2), 16)
    return Trainer(model, optimizer, scheduler, train, validation, num_classes=2, **options)


def test_the_loss_falls_and_the_network_learns() -> None:
    history = make_trainer().fit(5)
    assert [line["epoch"] for line in history] == [1, 2, 3, 4, 5]
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert history[-1]["validation_top1"] > 0.95
    assert "train_top5" not in history[0]


@pytest.mark.parametrize("autocast", ["float16", "bfloat16"])
def test_it_trains_in_16_bits_and_evaluates_in_32(autocast: str) -> None:
    plain, trainer = make_trainer(), make_trainer(autocast=autocast)
    plain.fit(3)
    trainer.fit(3)
    for name in ("train_loss", "validation_loss"):
        assert trainer.history[-1][name] != plain.history[-1][name]
        assert trainer.history[-1][name] == pytest.approx(plain.history[-1][name], abs=0.05)
    trainer.autocast = None
    assert trainer.evaluate(DataLoader(blobs(20, 2), 16))["loss"] == trainer.history[-1]["validation_loss"]
    if autocast == "float16":
        assert trainer.scaler.get_scale() > 1


def test_a_step_that_overflows_is_left_out() -> None:
    trainer = make_trainer(autocast="float16")
    trainer.scaler = minicnn.amp.GradScaler(init_scale=3e38)
    before = [parameter.detach().numpy().copy() for parameter in trainer.model.parameters()]
    images, targets = next(iter(trainer.train_loader))
    trainer.model.train()
    with np.errstate(all="ignore"):
        trainer.update(trainer.forward(images, targets)[1], None)
    for parameter, old in zip(trainer.model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.detach().numpy(), old)
    assert trainer.scaler.get_scale() < 3e38


def test_an_epoch_is_what_the_steps_written_out_do() -> None:
    trainer = make_trainer(small_net())
    copy = small_net()
    copy.load_state_dict(trainer.model.state_dict())
    trainer.fit(1)

    optimizer = optim.SGD(copy.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for images, targets in DataLoader(blobs(48, 1), 16, shuffle=True, seed=0):
        loss = nn.functional.cross_entropy(copy(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert trainer.history[0]["train_loss"] == pytest.approx(np.mean(losses))
    for key, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), copy.state_dict()[key].numpy(), err_msg=key)


def test_evaluating_changes_nothing_and_uses_running_statistics() -> None:
    trainer = make_trainer()
    trainer.fit(1)
    before = {key: value.numpy().copy() for key, value in trainer.model.state_dict().items()}
    loader = DataLoader(blobs(20, 2), 5)
    first, second = trainer.evaluate(loader), trainer.evaluate(DataLoader(blobs(20, 2), 20))
    assert first == pytest.approx(second, rel=1e-5)  # no dropout, and no batch sees its neighbours
    for key, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key], err_msg=key)


def test_the_callbacks_see_every_step_and_every_epoch() -> None:
    seen: list[int] = []
    lines: list[dict[str, Any]] = []
    make_trainer().fit(2, on_step=lambda metrics: seen.append(metrics.count), on_epoch=lines.append)
    assert seen == [16, 32, 48] * 2
    assert [line["epoch"] for line in lines] == [1, 2]


@pytest.mark.parametrize("autocast", [None, "float16", "bfloat16"])
def test_the_first_line_has_the_rate_and_the_last_state_is_taken_up_exactly(
    tmp_path: Path, autocast: str | None
) -> None:
    whole = make_trainer(autocast=autocast)
    whole.scaler.set_growth_interval(5)
    whole.fit(4)

    stopped = make_trainer(autocast=autocast)
    stopped.scaler.set_growth_interval(5)
    stopped.fit(2)
    save_checkpoint(tmp_path / "c.npz", stopped.state_dict())
    resumed = make_trainer(seed=99, autocast=autocast)
    resumed.train_loader.seed = 0
    resumed.load_state_dict(load_checkpoint(tmp_path / "c.npz"))
    assert resumed.epoch == 2
    resumed.fit(4)

    a, b = whole.state_dict(), resumed.state_dict()
    for key, value in a["model"].items():
        np.testing.assert_array_equal(value.numpy(), b["model"][key].numpy(), err_msg=key)
    assert a["random"] == b["random"]
    assert a["scheduler"] == b["scheduler"] and a["scaler"] == b["scaler"]
    for mine, other in zip(a["history"], b["history"], strict=True):
        assert {**mine, "seconds": 0, "images_per_second": 0} == {**other, "seconds": 0, "images_per_second": 0}


def test_another_networks_state_is_refused() -> None:
    state = make_trainer().state_dict()
    other = make_trainer(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)))
    with pytest.raises(ValueError, match="does not fit"):
        other.load_state_dict(state)
    with pytest.raises(ValueError, match="does not fit"):
        other.load_state_dict({})


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_training_and_says_what_to_do(poison: float) -> None:
    trainer = make_trainer(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)))
    weight = trainer.model[1].weight
    weight.detach().numpy()[0, 0] = poison
    with pytest.raises(TrainingDiverged, match=r"epoch 1 .*learning rate.*detect_anomaly"):
        trainer.fit(1)
    assert np.isfinite(weight.detach().numpy()).sum() == weight.numel() - 1  # no step was made with it


class WithAuxiliary(nn.Module):
    """Three linear classifiers: one is the network, two only help in training, as GoogLeNet's do."""

    def __init__(self) -> None:
        super().__init__()
        self.main, self.first, self.second = (nn.Linear(16, 2) for _ in range(3))

    def forward(self, x: minicnn.Tensor) -> Any:
        x = x.flatten(1)
        return (self.main(x), self.first(x), self.second(x)) if self.training else self.main(x)


def test_auxiliary_classifiers_count_three_tenths_and_only_in_training() -> None:
    trainer = make_trainer(WithAuxiliary(), label_smoothing=0.1)
    images, targets = next(iter(trainer.train_loader))
    logits, loss = trainer.forward(images, targets)
    parts = [nn.functional.cross_entropy(x, targets, label_smoothing=0.1).item() for x in trainer.model(images)]
    assert AUXILIARY_WEIGHT == 0.3
    assert loss.item() == pytest.approx(parts[0] + 0.3 * parts[1] + 0.3 * parts[2])
    np.testing.assert_array_equal(logits.numpy(), trainer.model.main(images.flatten(1)).detach().numpy())
    assert make_trainer(WithAuxiliary()).fit(3)[-1]["validation_top1"] > 0.9


def test_training_without_validation_images_works() -> None:
    trainer = make_trainer()
    trainer.validation_loader = None
    (line,) = trainer.fit(1)
    assert not [name for name in line if name.startswith("validation")]
    assert "validation" not in epoch_line(line, 1)
