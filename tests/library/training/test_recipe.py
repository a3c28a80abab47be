"""How each data set is trained unless told otherwise, and the configuration of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.training import RECIPES, Config, make_config, make_optimizer, make_scheduler


def test_the_defaults_are_the_recipe_and_overrides_replace_them() -> None:
    config = make_config("resnet20", epochs=3, lr=None)
    assert (config.epochs, config.lr) == (3, RECIPES["digits"].lr)
    assert (config.model, config.data, config.title) == ("resnet20", "digits", "resnet20 on digits")


def test_another_optimizer_brings_its_own_scale() -> None:
    assert make_config("resnet20", optimizer="adamw").lr < 0.01
    assert make_config("resnet20", optimizer="adamw", lr=0.5).lr == 0.5


def test_networks_without_batch_norm_have_a_gentler_rate_of_their_own() -> None:
    def has_batch_norm(name: str) -> bool:
        modules = minicnn.models.create_model(name, init=False).modules()
        return any(isinstance(module, nn.BatchNorm2d) for module in modules)

    bare = {name for name in minicnn.models.list_models() if not has_batch_norm(name)}
    assert {name for name in minicnn.models.list_models() if make_config(name).lr < 0.1} == bare
    assert make_config("vgg16", lr=0.5).lr == 0.5
    assert make_config("vgg16", optimizer="adamw").lr == make_config("resnet20", optimizer="adamw").lr


def test_a_data_folder_is_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = make_config("resnet20", "folder:pictures")
    assert config.data == f"folder:{tmp_path / 'pictures'}"
    assert config.data_kind == "folder"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"epochs": 0}, "epochs must be from 1 to .*, got 0"),
        ({"batch_size": -4}, "batch_size must be from 1 to .*, got -4"),
        ({"lr": 0.0}, "lr must be a positive number"),
        ({"lr": float("nan")}, "lr must be a finite number, got nan"),
        ({"lr": 1e300}, "lr must be a positive number up to"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
        ({"weight_decay": "none"}, "weight_decay must be a finite number, got 'none'"),
        ({"epochs": 1.5}, "epochs must be an integer, got 1.5"),
        ({"seed": True}, "seed must be an integer, got True"),
        ({"label_smoothing": 2.0}, "label_smoothing must be a number from 0 to 1"),
        ({"optimizer": "lion"}, "optimizer must be one of sgd, adam, adamw, got 'lion'"),
        ({"seed": -1}, "seed must be"),
        ({"device": "gpu"}, "device"),
        ({"image_size": 0}, "image_size must be from 1 to .*, got 0"),
    ],
)
def test_a_wrong_setting_is_a_clear_error(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_config("resnet20", **overrides)


def test_a_configuration_survives_json() -> None:
    config = make_config("resnet20", lr=0.1 + 0.2, seed=7)
    assert Config.from_dict(json.loads(json.dumps(config.as_dict()))) == config
    with pytest.raises(ValueError, match="not the configuration"):
        Config.from_dict({**config.as_dict(), "unknown": 1})
    with pytest.raises(ValueError, match="not the configuration"):
        Config.from_dict({**config.as_dict(), "epochs": "many"})


def test_weight_decay_spares_biases_and_batch_norm() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))
    optimizer = make_optimizer(model, RECIPES["digits"])
    decay = {tuple(p.shape): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay == {(2, 1, 3, 3): 5e-4, (3, 2): 5e-4, (2,): 0.0, (3,): 0.0}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def rates(steps_per_epoch: int, **overrides: Any) -> list[float]:
    """The learning rate of every step."""
    config = make_config("resnet20", **overrides)
    optimizer = make_optimizer(nn.Linear(2, 2), config)
    scheduler = make_scheduler(optimizer, config, steps_per_epoch)
    found = []
    for _ in range(config.epochs * steps_per_epoch):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    found = rates(10, epochs=10, lr=0.4, warmup_epochs=2.0)
    assert found[0] == pytest.approx(0.4 / 21)
    assert found[20] == pytest.approx(0.4)
    assert found[10] == pytest.approx(0.4 * 11 / 21)
    assert found[60] == pytest.approx(0.2)
    assert np.all(np.diff(found[:21]) > 0)
    assert np.all(np.diff(found[20:]) < 0)
    assert 0 < found[-1] < 0.001


@pytest.mark.parametrize(("epochs", "steps", "warmup"), [(1, 1, 2.0), (1, 3, 9.0), (2, 1, 0.0), (2, 5, 1.0)])
def test_short_runs_have_a_schedule_too(epochs: int, steps: int, warmup: float) -> None:
    found = rates(steps, epochs=epochs, lr=0.4, warmup_epochs=warmup)
    assert all(0 < rate <= 0.4 + 1e-12 for rate in found)
