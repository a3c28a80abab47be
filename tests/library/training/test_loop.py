"""The training package, part by part: metrics, checkpoints, recipes, the loop, curves, progress, the run folder."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

import minicnn
from minicnn import nn, optim
from minicnn.data import DataLoader, TensorDataset
from minicnn.errors import FileFormatError
from minicnn.models.googlenet import AUXILIARY_WEIGHT
from minicnn.serialization.writing import WRITERS
from minicnn.training import (
    RECIPES,
    ClassificationMetrics,
    Config,
    Job,
    Progress,
    RunFolder,
    Trainer,
    TrainingDiverged,
    draw_curves,
    load_checkpoint,
    make_config,
    make_optimizer,
    make_scheduler,
    save_checkpoint,
    topk_accuracy,
)
from minicnn.training.job import one_blas_thread
from minicnn.training.metrics import RunningMean, best
from minicnn.training.progress import describe, epoch_line
from tests.library.support.tiny_training import register_tinynet

# --- metrics --------------------------------------------------------------------------------------------------


def naive_topk(logits: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Sort every row: the highest score first, of equal ones the lower class first, NaN before all."""
    hits = 0
    for row, target in zip(logits, targets, strict=True):
        order = sorted(range(len(row)), key=lambda c: (not math.isnan(row[c]), -row[c] if row[c] == row[c] else 0, c))
        hits += int(target) in order[:k] and not math.isnan(row[target])
    return hits / len(targets)


@given(st.integers(1, 8), st.integers(1, 7), st.integers(0, 2**16), st.sampled_from([0.0, 0.2]))
def test_topk_is_what_sorting_says_with_ties_and_nan(rows: int, classes: int, seed: int, nan_share: float) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.integers(-2, 3, (rows, classes)).astype(np.float32)  # few values: many ties
    logits[rng.random(logits.shape) < nan_share] = np.nan
    targets = rng.integers(0, classes, rows)
    for k in (1, 5):
        assert topk_accuracy(logits, targets, k) == pytest.approx(naive_topk(logits, targets, k))


def test_a_nan_score_is_never_a_right_answer() -> None:
    logits = np.full((3, 4), np.nan)
    assert topk_accuracy(logits, np.arange(3), k=1) == 0
    assert topk_accuracy(logits, np.arange(3), k=5) == 0


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 2**16))
def test_metrics_over_batches_are_those_of_the_whole(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits, losses = rng.normal(size=(sum(sizes), 6)), rng.normal(size=sum(sizes))
    targets = rng.integers(0, 6, sum(sizes))
    metrics = ClassificationMetrics(num_classes=6)
    for end, size in zip(np.cumsum(sizes), sizes, strict=True):
        batch = slice(end - size, end)
        metrics.add(losses[batch].mean(), logits[batch], targets[batch])
    assert metrics.count == sum(sizes)
    assert metrics.summary() == pytest.approx(
        {"loss": losses.mean(), "top1": naive_topk(logits, targets, 1), "top5": naive_topk(logits, targets, 5)}
    )


@pytest.mark.parametrize(("num_classes", "has_top5"), [(2, False), (4, False), (5, True), (1000, True)])
def test_top5_is_counted_from_five_classes_on(num_classes: int, has_top5: bool) -> None:
    assert ("top5" in ClassificationMetrics(num_classes).summary()) == has_top5


def test_a_running_mean_without_values_is_nan() -> None:
    assert math.isnan(RunningMean().value)


def test_best_is_the_first_of_equals_and_none_without_lines() -> None:
    lines = [{"epoch": 1, "a": 0.5}, {"epoch": 2, "a": 0.9}, {"epoch": 3, "a": 0.9}, {"epoch": 4}]
    assert best(lines, "a") == {"epoch": 2, "a": 0.9}
    assert best(lines, "b") is None


# --- checkpoints ----------------------------------------------------------------------------------------------

ARRAYS = st.builds(
    lambda dtype, shape, seed: (100 * np.random.default_rng(seed).normal(size=shape)).astype(dtype),
    st.sampled_from(["float32", "float64", "int64", "uint8", "bool"]),
    st.sampled_from([(), (0,), (3,), (2, 3)]),
    st.integers(0, 100),
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
TREES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="/\\", codec="ascii"), max_size=5), inner, max_size=3
        )
        | st.dictionaries(st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    """Equal in value, type and dtype, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@given(tree=st.dictionaries(st.sampled_from(["a", "meta", "state"]), TREES, max_size=3))
def test_a_checkpoint_gives_back_what_was_saved(tree: dict[str, Any], tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.npz"
    save_checkpoint(path, tree)
    assert same(load_checkpoint(path), tree)


def test_a_checkpoint_keeps_tensors_and_numpy_scalars(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.npz", {"t": minicnn.arange(4), "n": np.float64(0.1), 3: float("inf")})
    state = load_checkpoint(tmp_path / "c.npz")
    assert isinstance(state["t"], minicnn.Tensor)
    assert state["t"].numpy().tolist() == [0, 1, 2, 3]
    assert (state["n"], state[3]) == (0.1, float("inf"))


@pytest.mark.parametrize("state", [{"a": object()}, {"a": {1.5: 0}}, {"a": {1: np.ones(1), "1": np.ones(1)}}])
def test_what_a_checkpoint_cannot_hold_is_refused_and_the_old_one_stays(state: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    save_checkpoint(path, {"epoch": 1})
    with pytest.raises(TypeError, match="checkpoint"):
        save_checkpoint(path, state)
    assert load_checkpoint(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["c.npz"]


def test_a_write_that_fails_half_way_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.npz"
    save_checkpoint(path, {"epoch": 1})

    def half_a_write(arrays: Any, temporary: str, metadata: Any) -> None:
        Path(temporary).write_bytes(b"PK\x03\x04 half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(WRITERS, ".npz", half_a_write)
    with pytest.raises(OSError, match=r"No space left on device: .*c\.npz"):
        save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path) == {"epoch": 1}


def test_a_truncated_checkpoint_is_one_clear_error_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    save_checkpoint(path, {"w": np.arange(100.0), "epoch": 3})
    whole = path.read_bytes()
    for size in {0, 1, 3, 10, *range(0, len(whole), 37), len(whole) - 1}:
        path.write_bytes(whole[:size])
        with pytest.raises(FileFormatError, match=r"c\.npz"):
            load_checkpoint(path)


def test_a_flipped_bit_in_the_weights_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    weights = np.arange(100.0)
    save_checkpoint(path, {"w": weights})
    content = bytearray(path.read_bytes())
    content[content.index(weights.tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="damaged"):
        load_checkpoint(path)


def test_a_foreign_file_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    np.savez(path, weight=np.ones(3))
    with pytest.raises(FileFormatError, match="not a checkpoint"):
        load_checkpoint(path)
    np.save(tmp_path / "c.npy", np.ones(3))
    with pytest.raises(FileFormatError, match="a single NumPy array"):
        load_checkpoint(tmp_path / "c.npy")
    meta = json.dumps({"format": "minicnn checkpoint 99", "state": None})
    np.savez(path, meta=np.frombuffer(meta.encode(), np.uint8))
    with pytest.raises(FileFormatError, match="another format.*99"):
        load_checkpoint(path)


# --- recipes --------------------------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="no configuration"):
        Config.from_dict({**config.as_dict(), "unknown": 1})
    with pytest.raises(ValueError, match="no configuration"):
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


# --- the loop -------------------------------------------------------------------------------------------------


def blobs(count: int, seed: int) -> TensorDataset:
    """Two kinds of 4x4 images that differ in brightness."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.normal(size=(count, 1, 4, 4)) + 2.0 * labels[:, None, None, None] - 1
    return TensorDataset(images.astype(np.float32), labels)


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


def test_the_first_line_has_the_rate_and_the_last_state_is_taken_up_exactly(tmp_path: Path) -> None:
    whole = make_trainer()
    whole.fit(4)

    stopped = make_trainer()
    stopped.fit(2)
    save_checkpoint(tmp_path / "c.npz", stopped.state_dict())
    resumed = make_trainer(seed=99)
    resumed.train_loader.seed = 0
    resumed.load_state_dict(load_checkpoint(tmp_path / "c.npz"))
    assert resumed.epoch == 2
    resumed.fit(4)

    a, b = whole.state_dict(), resumed.state_dict()
    for key, value in a["model"].items():
        np.testing.assert_array_equal(value.numpy(), b["model"][key].numpy(), err_msg=key)
    assert a["random"] == b["random"]
    assert a["scheduler"] == b["scheduler"]
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


# --- the job --------------------------------------------------------------------------------------------------


def tiny_job(**overrides: Any) -> Job:
    register_tinynet()
    return Job(make_config("tinynet", epochs=1, batch_size=256, **overrides))


def test_the_initial_weights_are_the_seeds() -> None:
    first, again, other = (tiny_job(seed=seed).model.state_dict()["0.weight"].numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_a_job_trains_on_full_shuffled_batches_and_evaluates_on_every_image() -> None:
    job = tiny_job(seed=1)
    sizes = [len(targets) for _, targets in job.trainer.train_loader]
    assert sizes == [256] * 4  # of 1260
    assert job.steps_per_epoch == 4
    orders = [job.trainer.train_loader.order(epoch).tolist() for epoch in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(1260))
    assert [len(targets) for _, targets in job.trainer.validation_loader] == [179]


def test_few_images_are_one_batch_that_is_not_full() -> None:
    job = tiny_job()
    assert len(job._loader(blobs(9, 0), shuffle=True)) == 1


def test_every_seed_is_tested_on_the_same_images() -> None:
    a, b = (tiny_job(seed=seed).data for seed in (1, 2))
    np.testing.assert_array_equal(a.test.images, b.test.images)
    np.testing.assert_array_equal(a.train.labels, b.train.labels)


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_a_training_uses_one_blas_thread_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    if not blas_threads():
        pytest.skip("NumPy's BLAS here has no threads that can be counted")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with threadpool_limits(2, user_api="blas"):
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {2}
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
        with one_blas_thread():
            assert blas_threads() == {2}


# --- curves ---------------------------------------------------------------------------------------------------


def history(epochs: int, validation: bool = True) -> list[dict[str, Any]]:
    parts = ("train", "validation") if validation else ("train",)
    return [
        {"epoch": e, **{f"{part}_loss": 1 / e for part in parts}, **{f"{part}_top1": 1 - 0.5 / e for part in parts}}
        for e in range(1, epochs + 1)
    ]


@pytest.mark.parametrize("lines", [history(12), history(5, validation=False), []], ids=len)
def test_the_curves_are_a_picture_of_a_sensible_size(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "curves.png"
    draw_curves(path, lines, "resnet20 on digits", "test accuracy 99.00 %")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert 800 <= image.width <= 2000
        assert 300 <= image.height <= 1200
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]
    colors = {f"#{bytes(color).hex()}" for color in np.unique(pixels, axis=0)}
    assert ("#1f77b4" in colors) == bool(lines)
    assert ("#d95f02" in colors) == any("validation_loss" in line for line in lines)


# --- progress -------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


NUMBERS = {"loss": 0.5, "top1": 0.75, "top5": 1.0}


def show(quiet: bool, bar_out: io.StringIO) -> tuple[str, str]:
    """What a short run prints on the standard output, and what is drawn as a bar."""
    out = io.StringIO()
    with Progress(quiet, out, bar_out) as progress:
        progress.start(steps=10, done=4)
        progress.line("a heading")
        for _ in range(6):
            progress.step(2, 5, NUMBERS, 1234.5)
        if progress.bar is not None:
            progress.bar.refresh()  # it paints itself ten times a second, and this run was shorter
        progress.result("the result")
    return out.getvalue(), bar_out.getvalue()


def test_a_terminal_gets_a_bar_with_the_numbers_and_the_lines_above_it() -> None:
    out, bar = show(False, Terminal())
    assert out.splitlines() == ["a heading", "the result"]
    for part in ("epoch 2/5", "40%", "loss 0.5000", "top-1  75.0%", "top-5 100.0%", "1,234 images/s", "left"):
        assert part in bar, part


def test_a_file_gets_plain_lines() -> None:
    out, bar = show(False, io.StringIO())
    assert out.splitlines() == ["a heading", "the result"]
    assert bar == ""


@pytest.mark.parametrize("bar_out", [Terminal(), io.StringIO()])
def test_quiet_is_only_the_result(bar_out: io.StringIO) -> None:
    assert show(True, bar_out) == ("the result\n", "")


def test_numbers_are_told_in_percent() -> None:
    assert describe({"loss": 0.12345, "top1": 0.5}) == "loss 0.1235  top-1  50.00%"
    line = {"epoch": 3, "seconds": 2.04, "images_per_second": 1234.5, "train_loss": 1.0, "train_top1": 0.25}
    assert epoch_line(line, 25) == "epoch  3/25  train loss 1.0000  top-1  25.00%  1,234 images/s"


# --- the run folder -------------------------------------------------------------------------------------------


def test_runs_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = make_config("resnet20")
    folders = [RunFolder.create(config) for _ in range(2)]
    assert [str(folder) for folder in folders] == ["runs/resnet20-digits-1", "runs/resnet20-digits-2"]
    assert folders[0].read_config() == config
    assert folders[0].read_result() is None


def test_a_chosen_folder_must_be_new_or_empty(tmp_path: Path) -> None:
    config = make_config("resnet20")
    RunFolder.create(config, tmp_path)  # empty: fine
    RunFolder.create(config, tmp_path)  # nothing has been trained yet: the same start again
    with pytest.raises(FileExistsError, match="--resume"):
        RunFolder.create(make_config("resnet56"), tmp_path)
    (tmp_path / "checkpoint.npz").touch()
    with pytest.raises(FileExistsError, match="--resume"):
        RunFolder.create(config, tmp_path)
    with pytest.raises(FileExistsError, match="not a folder$"):
        RunFolder.create(config, tmp_path / "config.json")
    RunFolder.create(config, tmp_path / "new" / "deep")


def test_metrics_are_cut_back_to_what_the_checkpoint_knows(tmp_path: Path) -> None:
    folder = RunFolder.create(make_config("resnet20"), tmp_path)
    folder.append_metrics({"epoch": 1})
    folder.append_metrics({"epoch": 2})
    (tmp_path / ".checkpoint.npz.0123.tmp").touch()
    folder.tidy([{"epoch": 1}])
    assert folder.metrics.read_text() == '{"epoch": 1}\n'
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "config.json", "metrics.jsonl"]
