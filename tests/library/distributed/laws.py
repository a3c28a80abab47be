"""What must hold on every rank. Run as ``mpiexec -n N python -m tests.library.distributed.laws [LAW ...]``.

Each law runs on all ranks, in one start of the processes, because a start takes longer than most laws. Rank 0 prints
what failed as JSON: ``{law: message or null}``.
"""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import minicnn
import minicnn.distributed as dist
import minicnn.nn.functional as F
from minicnn import Tensor, nn
from minicnn.distributed import parallel
from minicnn.models import create_model
from minicnn.models.googlenet import auxiliary_loss

LAWS: dict[str, Callable[[], None]] = {}
BATCH = 3  # images of each rank
CLASSES = 5
EXACT = 1e-12


def law(function: Callable[[], None]) -> Callable[[], None]:
    """Enter ``function`` among the laws."""
    LAWS[function.__name__] = function
    return function


def rank() -> int:
    return dist.get_rank()


def size() -> int:
    return dist.get_world_size()


def images(*shape: int, seed: int = 0) -> Any:
    """The same random numbers on every rank."""
    return np.random.default_rng(seed).normal(size=shape)


def targets(count: int) -> Any:
    return np.random.default_rng(1).integers(0, CLASSES, count)


def on_all_ranks(values: Any) -> list[Any]:
    """What each rank has given."""
    found: list[Any] = []
    dist.all_gather_object(found, values)
    return found


def gradients(model: nn.Module) -> dict[str, Any]:
    return {name: None if p.grad is None else p.grad.numpy().copy() for name, p in model.named_parameters()}


def assert_near(found: dict[str, Any], wanted: dict[str, Any], tolerance: float = EXACT) -> None:
    """Equal up to rounding, relative to the largest of all numbers."""
    scale = max(abs(value).max() for value in wanted.values() if value is not None)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert (found[name] is None) == (value is None), name
        if value is not None:
            error = abs(found[name] - value).max() / scale
            assert error < tolerance, f"{name}: {error:.1e}"


@contextmanager
def raising(kind: type[BaseException], words: str) -> Iterator[None]:
    try:
        yield
    except kind as error:
        assert words in str(error), str(error)
    else:
        raise AssertionError(f"no {kind.__name__}")


def pair(build: Callable[[], nn.Module], compiled: bool = False, **options: Any) -> tuple[Any, nn.Module, nn.Module]:
    """A network on all ranks, its inside, and the same one by itself. Each rank begins with other weights."""
    minicnn.manual_seed(100 + rank())
    inner, alone = build().double(), build().double()
    outer = dist.DistributedDataParallel(minicnn.compile(inner) if compiled else inner, **options)
    alone.load_state_dict(inner.state_dict())
    return outer, inner, alone


def loss_of(model: Any, x: Any, y: Any) -> Tensor:
    return auxiliary_loss(model(minicnn.tensor(x)), minicnn.tensor(y), F.cross_entropy)


def check_gradients(build: Callable[[], nn.Module], x: Any, **options: Any) -> float:
    """The law itself: n ranks with batches of b, against one with n b."""
    outer, inner, alone = pair(build, **options)
    y = targets(len(x))
    for _ in range(2):  # a compiled model is recorded in the first
        for model in (inner, alone):
            model.zero_grad()
        loss_of(outer, x[rank() :: size()], y[rank() :: size()]).backward()
        loss_of(alone, x, y).backward()
        assert_near(gradients(inner), gradients(alone))
    bits = on_all_ranks([g.tobytes() for g in gradients(inner).values()])
    assert all(other == bits[0] for other in bits), "the ranks have other bits"
    wanted = gradients(alone)
    scale = max(abs(g).max() for g in wanted.values())
    return max(abs(gradients(inner)[name] - g).max() / scale for name, g in wanted.items())


def without_batch_norm(model: nn.Module) -> nn.Module:
    """The model with group norm for batch norm, and without dropout."""
    for module in list(model.modules()):
        for name, child in list(module._modules.items()):
            if isinstance(child, nn.BatchNorm2d):
                module._modules[name] = nn.GroupNorm(1, child.num_features)
            if isinstance(child, nn.Dropout):
                child.p = 0.0
    return model


def random_net(seed: int, norm: bool) -> nn.Module:
    """A random stack of layers for images of 2x9x9."""
    draw = np.random.default_rng(seed)
    layers: list[nn.Module] = []
    channels = 2
    for _ in range(draw.integers(1, 5)):
        wider = int(draw.integers(1, 9))
        layers.append(nn.Conv2d(channels, wider, int(draw.choice([1, 3])), padding=1, bias=bool(draw.integers(2))))
        channels = wider
        if norm:
            layers.append(dist.SyncBatchNorm(channels))
        layers.append([nn.ReLU(), nn.SiLU(), nn.Tanh()][draw.integers(3)])
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, CLASSES))


@law
def the_gradients_of_small_networks_are_those_of_one_process() -> None:
    for compiled in (False, True):
        check_gradients(lambda: random_net(0, norm=False), images(BATCH * size(), 2, 9, 9), compiled=compiled)


@law
def the_gradients_of_random_networks_are_those_of_one_process() -> None:
    worst = 0.0
    for seed in range(30):
        norm, compiled = bool(seed % 2), bool(seed % 4 == 0)
        cap = [25.0, 0.0001, 0.001][seed % 3]
        x = images(BATCH * size(), 2, 9, 9, seed=seed)
        error = check_gradients(lambda s=seed, n=norm: random_net(s, n), x, compiled=compiled, bucket_cap_mb=cap)
        worst = max(worst, error)
    if rank() == 0:
        print(f"random networks: {worst:.1e}", file=sys.stderr)


def _architecture(name: str, side: int, synchronised: bool, compiled: bool) -> None:
    def build() -> nn.Module:
        model = create_model(name, num_classes=CLASSES)
        if synchronised:
            return dist.SyncBatchNorm.convert_sync_batchnorm(model)
        return without_batch_norm(model)

    error = check_gradients(build, images(2 * size(), 3, side, side), compiled=compiled, bucket_cap_mb=1)
    if rank() == 0:
        print(f"{name}, synchronised={synchronised}, compiled={compiled}: {error:.1e}", file=sys.stderr)


@law
def the_gradients_of_architectures_are_those_of_one_process() -> None:
    for name, side, compiled in (("googlenet", 64, False), ("densenet121", 32, True), ("seresnet18", 32, True)):
        _architecture(name, side, False, compiled)
    _architecture("resnet18", 32, True, False)


@law
def names_are_pytorchs() -> None:
    """Also of a compiled network: its own behind ``module``, each once."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    for given in (network, minicnn.compile(network)):
        assert list(dist.DistributedDataParallel(given).state_dict()) == [
            f"module.{key}" for key in network.state_dict()
        ]


@law
def parameters_and_buffers_begin_as_those_of_rank_0() -> None:
    minicnn.manual_seed(rank())
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model[1].running_mean.fill_(rank())
    first = on_all_ranks({name: tensor.numpy().copy() for name, tensor in model.state_dict().items()})[0]
    dist.DistributedDataParallel(model)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), first[name])


@law
def collectives_compute_what_numpy_does() -> None:
    kinds: list[tuple[tuple[int, ...], Any]] = [
        ((), np.float32), ((3,), np.float64), ((2, 3), np.int64), ((4,), np.float16), ((0, 2), np.float32),
    ]  # fmt: skip
    ops = {
        dist.ReduceOp.SUM: np.sum, dist.ReduceOp.AVG: np.mean, dist.ReduceOp.PRODUCT: np.prod,
        dist.ReduceOp.MIN: np.min, dist.ReduceOp.MAX: np.max,
    }  # fmt: skip
    for shape, dtype in kinds:
        everyone = [np.asarray(images(*shape, seed=r) * 3).astype(dtype) for r in range(size())]
        for op, wanted in ops.items():
            if op is dist.ReduceOp.AVG and np.issubdtype(dtype, np.integer):
                continue
            for asynchronous in (False, True):
                tensor = minicnn.tensor(everyone[rank()].copy())
                work = dist.all_reduce(tensor, op, async_op=asynchronous)
                assert (work is not None) == asynchronous
                if work is not None:
                    work.wait()
                    assert work.is_completed()
                np.testing.assert_allclose(tensor.numpy(), wanted(everyone, axis=0), rtol=2e-3)
                assert tensor.dtype == dtype
            tensor = minicnn.tensor(everyone[rank()].copy())
            dist.reduce(tensor, size() - 1, op)
            result = wanted(everyone, axis=0) if rank() == size() - 1 else everyone[rank()]
            np.testing.assert_allclose(tensor.numpy(), result, rtol=2e-3)
        tensor = minicnn.tensor(everyone[rank()].copy())
        gathered = [minicnn.tensor(np.zeros(shape, dtype)) for _ in range(size())]
        dist.all_gather(gathered, tensor)
        np.testing.assert_array_equal([t.numpy() for t in gathered], everyone)
        dist.broadcast(tensor, size() - 1)
        np.testing.assert_array_equal(tensor.numpy(), everyone[-1])
    turned = minicnn.tensor(np.full((2, 3), rank(), np.float32)).t()
    dist.all_reduce(turned)
    np.testing.assert_array_equal(turned.numpy(), np.full((3, 2), sum(range(size()))))
    objects = [{"rank": rank()}]
    dist.broadcast_object_list(objects, src=1)
    assert objects == [{"rank": 1}]
    with raising(ValueError, "expected a rank"):
        dist.broadcast(turned, size())
    with raising(ValueError, "in tensor_list"):
        dist.all_gather([turned], turned)


@law
def no_sync_adds_up_until_the_next_backward() -> None:
    for compiled in (False, True):
        outer, inner, alone = pair(lambda: random_net(3, norm=False), compiled=compiled, bucket_cap_mb=0.0001)
        x, y = images(2 * BATCH * size(), 2, 9, 9), targets(2 * BATCH * size())
        halves = slice(0, BATCH * size()), slice(BATCH * size(), None)
        with outer.no_sync():
            loss_of(outer, x[halves[0]][rank() :: size()], y[halves[0]][rank() :: size()]).backward()
        own = on_all_ranks(gradients(inner)["0.weight"].tobytes())
        assert own[0] != own[1]
        loss_of(outer, x[halves[1]][rank() :: size()], y[halves[1]][rank() :: size()]).backward()
        for half in halves:
            loss_of(alone, x[half], y[half]).backward()
        assert_near(gradients(inner), gradients(alone))


class Branches(nn.Module):
    """Uses ``often`` always, ``first`` on rank 0 alone and ``never`` nowhere; ``often`` is of another dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.often, self.first, self.never = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.often(x.float()).double()
        return self.first(x) if rank() == 0 else x


@law
def unused_parameters_count_as_zero_and_dtypes_may_differ() -> None:
    minicnn.manual_seed(0)
    model = Branches().double()
    model.often.float()
    outer = dist.DistributedDataParallel(model)
    for _ in range(2):
        model.zero_grad()
        outer(minicnn.tensor(images(4, 3))).sum().backward()
        assert model.never.weight.grad is None
        assert model.often.weight.grad.dtype == np.float32
        np.testing.assert_allclose(model.first.bias.grad.numpy(), np.full(3, 4 / size()))
        own = on_all_ranks([p.grad.numpy().tobytes() for p in (*model.often.parameters(), *model.first.parameters())])
        assert all(other == own[0] for other in own)


@law
def unequal_shares_are_weighted_and_the_numbers_stay() -> None:
    from minicnn.training.ranks import weight_of

    outer, inner, alone = pair(lambda: random_net(5, norm=True))
    count = BATCH * size() + 1
    x, y = images(count, 2, 9, 9), targets(count)

    class Loader:
        batch_size, dataset = count, range(1000)

    own = loss_of(outer, x[rank() :: size()], y[rank() :: size()])
    own.backward(weight_of(len(y[rank() :: size()]), Loader))
    loss_of(alone, x, y).backward()
    assert_near(gradients(inner), gradients(alone))


@law
def synchronised_batch_norm_is_that_of_all_images_also_of_an_empty_batch() -> None:
    for affine in (True, False):
        norm = dist.SyncBatchNorm(4, affine=affine, dtype=minicnn.float64)
        alone = nn.BatchNorm2d(4, affine=affine, dtype=minicnn.float64)
        for counts in ([2 + r for r in range(size())], [3] * (size() - 1) + [0], [1] * size()):
            ends = np.cumsum([0, *counts])
            own = slice(ends[rank()], ends[rank() + 1])
            x, dy = images(ends[-1], 4, 3, 2) + 100, images(ends[-1], 4, 3, 2, seed=7)
            a, b = minicnn.tensor(x[own]).requires_grad_(), minicnn.tensor(x).requires_grad_()
            for module in (norm, alone):
                module.zero_grad()
            norm(a).backward(minicnn.tensor(dy[own]))
            alone(b).backward(minicnn.tensor(dy))
            assert a.grad is not None and b.grad is not None
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy()[own], atol=1e-11)
            np.testing.assert_allclose(norm(a).detach().numpy(), alone(b).detach().numpy()[own], atol=1e-11)
            for name, buffer in alone.named_buffers():
                np.testing.assert_allclose(norm.get_buffer(name).numpy(), buffer.numpy(), rtol=1e-12)
            if affine:
                for mine, whole in zip(norm.parameters(), alone.parameters(), strict=True):
                    dist.all_reduce(mine.grad)
                    np.testing.assert_allclose(mine.grad.numpy(), whole.grad.numpy(), atol=1e-11)
    np.testing.assert_allclose(norm.eval()(a).detach().numpy(), alone.eval()(b).detach().numpy()[own], atol=1e-11)
    with raising(minicnn.errors.ShapeError, "more than one value"):
        dist.SyncBatchNorm(4)(minicnn.zeros(int(rank() == 0), 4, 1, 1))


@law
def a_synchronised_model_is_not_compiled() -> None:
    model = minicnn.compile(nn.Sequential(nn.Conv2d(2, 3, 3), dist.SyncBatchNorm(3)))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model(minicnn.tensor(images(2, 2, 5, 5).astype(np.float32)))
    assert "synchronises batch norm" in str(said[0].message)
    assert not model.plans


@law
def buffers_are_averaged() -> None:
    norm = nn.BatchNorm2d(2)
    norm.running_mean.fill_(rank())
    norm.num_batches_tracked.fill_(7 - rank())
    dist.average_buffers(norm)
    np.testing.assert_allclose(norm.running_mean.numpy(), (size() - 1) / 2)
    assert norm.num_batches_tracked.item() == 7


@law
def samplers_of_all_ranks_cover_the_data() -> None:
    sampler = dist.DistributedSampler(range(10), seed=4)
    assert (sampler.rank, sampler.num_replicas) == (rank(), size())
    everyone = sum(on_all_ranks(list(sampler)), [])
    assert set(everyone) == set(range(10))
    loader = dist.ShardedLoader(list(range(11)), batch_size=4, shuffle=True, seed=4)
    batches = [batch.numpy().tolist() for batch in loader]
    whole = [batch.numpy().tolist() for batch in minicnn.data.DataLoader(list(range(11)), 4, shuffle=True, seed=4)]
    found = on_all_ranks(batches)
    for number, wanted in enumerate(whole):
        parts = [own[number] for own in found if number < len(own)]
        assert sorted(sum(parts, [])) == sorted(wanted)
        assert parts == [wanted[r :: size()] for r in range(len(parts))]


@law
def ranks_that_differ_are_refused_on_all_of_them() -> None:
    with raising(dist.DisagreementError, f"the ranks differ in seed: rank 0 has 0, rank {size() - 1} 1"):
        dist.require_agreement({"seed": int(rank() == size() - 1)})
    with raising(dist.DisagreementError, "the ranks differ in the network: rank 0 has (3, 2) float32 as weight"):
        dist.DistributedDataParallel(nn.Linear(2, 3 + (rank() > 0)))
    version, minicnn.__version__ = minicnn.__version__, f"0.{rank()}"
    with raising(dist.DisagreementError, "the ranks differ in minicnn's version: rank 0 has 0.0, rank 1 0.1"):
        dist.require_agreement({})
    minicnn.__version__ = version


@law
def what_cannot_be_averaged_is_refused() -> None:
    outer, inner, _ = pair(lambda: random_net(0, norm=False), bucket_cap_mb=0.0001, compiled=True)
    x = minicnn.tensor(images(2, 2, 9, 9))
    minicnn.autograd.grad(outer(x).sum(), [inner[0].weight])
    with raising(RuntimeError, "did not end"):
        outer(x)
    outer, inner, _ = pair(lambda: random_net(0, norm=False), compiled=True)
    with raising(RuntimeError, "outside of the compiled model"):
        (outer(x).sum() + (inner[0].weight ** 2).sum()).backward()
    outer, inner, alone = pair(lambda: random_net(0, norm=False))
    (outer(x).sum() + (inner[0].weight ** 2).sum()).backward()  # eagerly it is right
    (alone(x).sum() + (alone[0].weight ** 2).sum()).backward()
    assert_near(gradients(inner), gradients(alone))


@law
def a_backward_that_leaves_out_parameters_is_refused() -> None:
    for compiled in (False, True):
        outer, inner, _ = pair(lambda: random_net(0, norm=False), compiled=compiled)
        x = minicnn.tensor(images(2, 2, 9, 9))
        outer(x).sum().backward(inputs=[inner[0].weight])
        with raising(RuntimeError, "did not end"):
            outer(x)


@law
def a_backward_beside_the_network_only_adds() -> None:
    """While the graph of the network's own is still alive."""
    for compiled in (False, True):
        outer, inner, alone = pair(lambda: random_net(0, norm=False), compiled=compiled)
        x, y = images(BATCH * size(), 2, 9, 9), targets(BATCH * size())
        for model, network, own in ((outer, inner, slice(rank(), None, size())), (alone, alone, slice(None))):
            for _ in range(2):
                loss = loss_of(model, x[own], y[own])
                loss.backward()
                (1e-2 * network[0].weight.pow(2).sum()).backward()
            assert loss.requires_grad
        assert_near(gradients(inner), gradients(alone))


@law
def a_network_may_run_twice_before_one_backward() -> None:
    for compiled in (False, True):
        outer, inner, alone = pair(lambda: random_net(0, norm=False), compiled=compiled)
        x, y = images(BATCH * size(), 2, 9, 9), targets(BATCH * size())
        for model, own in ((outer, slice(rank(), None, size())), (alone, slice(None))):
            (loss_of(model, x[own], y[own]) + 3 * loss_of(model, 2 * x[own], y[own])).backward()
        assert_near(gradients(inner), gradients(alone))


@dataclass
class Answer:
    logits: Tensor
    name: str = "of a dataclass"


class Answering(nn.Module):
    def __init__(self, kind: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.kind, self.layer = kind, nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Any:
        return self.kind(self.layer(x))


@law
def gradients_are_averaged_whatever_holds_the_output() -> None:
    x = minicnn.tensor(images(2, 3, seed=rank()), dtype=minicnn.float32)
    kinds: list[tuple[Any, Callable[[Any], Tensor]]] = [
        (Answer, lambda found: found.logits),
        (lambda y: OrderedDict(logits=y), lambda found: found["logits"]),
        (lambda y: [None, (y, "name")], lambda found: found[1][0]),
    ]
    for kind, logits in kinds:
        model = dist.DistributedDataParallel(Answering(kind))
        logits(model(x)).sum().backward()
        own = on_all_ranks(model.module.layer.weight.grad.tolist())
        assert own[0] == own[1]
    with raising(TypeError, "dataclasses, got range"):
        dist.DistributedDataParallel(Answering(lambda y: range(2)))(x)


@law
def what_one_rank_alone_has_frozen_is_refused() -> None:
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(rank() > 0)
    with raising(dist.DisagreementError, "the network"):
        dist.DistributedDataParallel(model)


@law
def synchronised_norm_in_float16_and_with_kept_statistics() -> None:
    x = minicnn.tensor(images(64, 2, 32, 32), dtype=minicnn.float16)
    norm = dist.SyncBatchNorm(2, dtype=np.dtype("float16"))
    y = norm(x)
    assert abs(float(y.detach().numpy().astype(np.float32).std()) - 1) < 0.01 and norm.running_var.isfinite().all()
    kept = norm.running_mean.tolist()
    norm.track_running_stats = False
    norm(x + 1)
    assert norm.running_mean.tolist() == kept


@law
def a_training_loader_with_a_short_last_batch_is_refused() -> None:
    from minicnn.training.ranks import require_weighable

    images_of = [(np.zeros(1, np.float32), 0)] * 11
    require_weighable(dist.ShardedLoader(images_of, 4, drop_last=True))
    require_weighable(dist.ShardedLoader(images_of, 16))
    for loader in (dist.ShardedLoader(images_of, 4), dist.ShardedLoader(images_of, 1, drop_last=True)):
        with raising(ValueError, "batches are all full"):
            require_weighable(loader)


@law
def several_forward_and_backward_passes_interleave() -> None:
    outer, inner, alone = pair(lambda: random_net(0, norm=False))
    x, y = images(BATCH * size(), 2, 9, 9), targets(BATCH * size())
    for model, own in ((outer, slice(rank(), None, size())), (alone, slice(None))):
        first, second = loss_of(model, x[own], y[own]), loss_of(model, x[own] * 2, y[own])
        first.backward(retain_graph=True)
        second.backward()
        first.backward()
        with minicnn.no_grad():
            model(minicnn.tensor(x[own]))
    assert_near(gradients(inner), gradients(alone))


@law
def buckets_leave_while_backward_runs() -> None:
    for compiled in (False, True):
        outer, inner, _ = pair(lambda: random_net(8, norm=False), bucket_cap_mb=0.0001, compiled=compiled)
        x = minicnn.tensor(images(2, 2, 9, 9))
        outer(x).sum().backward()
        inner.zero_grad()
        sent: list[int] = []
        first = inner[0]
        loss = outer(x).sum()
        fill = parallel._Reducer._fill

        def watched(
            self: Any, bucket: Any, place: int, gradient: Any, first: Any = first, sent: Any = sent, fill: Any = fill
        ) -> None:
            if bucket.parameters[place] is first.weight:
                sent.append(self.sent)
            fill(self, bucket, place, gradient)

        parallel._Reducer._fill = watched  # type: ignore[method-assign]
        try:
            loss.backward()
        finally:
            parallel._Reducer._fill = fill  # type: ignore[method-assign]
        assert len(sent) == 1 and sent[0] >= len(outer._reducer.buckets) - 2 > 0, (compiled, sent)


def main() -> None:
    dist.init_process_group()
    found: dict[str, str | None] = {}
    for name in sys.argv[1:] or LAWS:
        problem = None
        try:
            LAWS[name]()
        except Exception:
            problem = traceback.format_exc()
        problems = on_all_ranks(problem)
        found[name] = next((text for text in problems if text is not None), None)
    if rank() == 0:
        print(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
