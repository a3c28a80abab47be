"""Values that wait: whoever looks, hooks, writes or differentiates finds what computing at once would have given.

Every case runs twice, with and without deferral, and has to give the same bits.
"""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minicnn
import minicnn.nn.functional as F
from minicnn import backend, nn
from minicnn.autograd import Function
from minicnn.deferral import Pending, no_deferral
from minicnn.errors import AnomalyError, AutogradError
from minicnn.models import create_model
from minicnn.ops import residual_add
from minicnn.optim import SGD
from minicnn.utils.checkpoint import checkpoint
from tests.library.strategies import normal

SHAPE = (3, 2, 2, 3)


class World:
    """Inputs for one run: ``x`` and ``residual`` are results of operations, so what is made of them may wait."""

    def __init__(self) -> None:
        leaves = [normal(SHAPE, 0), normal(SHAPE, 1), normal((2,), 2) + 1.5, normal((2,), 3)]
        self.leaves = [minicnn.tensor(array, requires_grad=True) for array in leaves]
        self.x, self.residual = self.leaves[0] * 1, self.leaves[1] * 1
        self.weight, self.bias = self.leaves[2:]
        self.running = minicnn.zeros(2).double(), minicnn.ones(2).double()

    def norm(self, training: bool = True) -> minicnn.Tensor:
        return F.batch_norm(self.x, *self.running, self.weight, self.bias, training=training)

    def results(self, *outputs: Any) -> list[Any]:
        """The outputs' values and the gradients of all leaves, each output with a cotangent of its own."""
        values = [y.detach().numpy().copy() if isinstance(y, minicnn.Tensor) else y for y in outputs]
        roots = [y for y in outputs if isinstance(y, minicnn.Tensor) and y.requires_grad]
        minicnn.autograd.backward(roots, [minicnn.tensor(normal(y.shape, 9 + i)) for i, y in enumerate(roots)])
        return [*values, *(leaf.grad.numpy() if leaf.grad is not None else None for leaf in self.leaves)]


def assert_same(run: Callable[[], list[Any]]) -> None:
    """``run()`` gives the same bits with and without deferral, where the same functions compute both times."""
    with backend.use("reference"):
        found = run()
        with no_deferral():
            expected = run()
    assert len(found) == len(expected)
    for index, (got, want) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_array_equal(got, want, err_msg=f"result {index}")


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
    """The calls of batch norm's primitives and of other operations' forwards and backwards, in order."""
    calls: list[str] = []
    cpu: Any = backend.load("cpu")
    names = ("batch_norm", "batch_norm_grad", "batch_norm_apply", "batch_norm_fused_grad")
    whole, plain_grad, plain_apply, fused_grad = (getattr(cpu, name) for name in names)

    def at_once(*args: Any) -> Any:
        calls.append("whole")
        return whole(*args)

    def unfused(*args: Any) -> Any:
        calls.append("grad")
        return plain_grad(*args)

    def apply(x: Any, mean: Any, scale: Any, shift: Any, residual: Any = None, relu: bool = False) -> Any:
        calls.append("apply" + " + residual" * (residual is not None) + ", relu" * relu)
        return plain_apply(x, mean, scale, shift, residual, relu)

    def fused(dy: Any, x: Any, weight: Any, mean: Any, inv_std: Any, y: Any = None, residual: bool = False) -> Any:
        calls.append("grad" + " + residual" * residual + ", relu" * (y is not None))
        return fused_grad(dy, x, weight, mean, inv_std, y, residual)

    for name, watched in zip(names, (at_once, unfused, apply, fused), strict=True):
        setattr(cpu, name, watched)
    try:
        yield calls
    finally:
        for name in names:
            delattr(cpu, name)


# --- it does wait, and goes back in one go ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compute", "forward", "backward"),
    [
        (lambda w: F.relu(w.norm()), "apply, relu", "grad, relu"),
        (lambda w: F.relu(residual_add(w.norm(), w.residual)), "apply + residual, relu", "grad + residual, relu"),
        (lambda w: F.relu(w.residual + w.norm()), "apply + residual, relu", "grad + residual, relu"),
        (lambda w: F.relu(w.norm().add_(w.residual)), "apply + residual, relu", "grad + residual, relu"),
        (lambda w: F.relu(w.norm() + w.residual.detach()), "apply + residual, relu", "grad, relu"),
        (lambda w: w.norm() + w.residual, "apply + residual", "grad"),
        (lambda w: w.norm(), "apply", "grad"),
    ],
)
def test_one_primitive_each_way(compute, forward, backward):
    world = World()
    with counted() as calls:
        y = compute(world)
        world.results(y)
        assert calls == [forward, backward]
        calls.clear()
        with no_deferral():
            world = World()
            world.results(compute(world))
        assert calls == ["whole", "grad"]


def test_in_evaluation_too():
    with counted() as calls, minicnn.no_grad():
        world = World()
        y = F.relu(world.norm(training=False) + world.residual)
        assert calls == ["apply + residual, relu"] and not y.requires_grad


def test_every_layer_stays_on_the_tape():
    world = World()
    node, names = F.relu(residual_add(world.norm(), world.residual)).grad_fn, []
    while node is not None and node.next_functions:
        names.append(node.name())
        node = node.next_functions[0][0]
    assert names == ["ReLU", "Add", "BatchNorm", "Mul"]


def test_what_nobody_looks_at_is_not_computed():
    with counted() as calls:
        y = World().norm()
        assert (y.shape, y.dtype, y.ndim, y.numel(), y.size(1), len(y)) == (SHAPE, np.float64, 4, 36, 2, 3)
        assert y.dim() == 4 and y.element_size() == 8 and y.is_floating_point() and y.requires_grad
        assert y.device.type == "cpu" and not y.is_leaf
        del y
        assert calls == []


BLOCKS = {
    "resnet18": (["apply + residual, relu"] * 8, ["grad + residual, relu"] * 8),
    "resnet50": (["apply + residual, relu"] * 16, ["grad + residual, relu"] * 16),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_the_blocks_of_a_resnet_are_fused(name):
    model, images = create_model(name, num_classes=4), minicnn.randn(2, 3, 32, 32)
    with counted() as calls:
        model(images).sum().backward()
    forward, backward = BLOCKS[name]
    assert [call for call in calls if call.startswith("apply +")] == forward
    assert [call for call in calls if call.startswith("grad +")] == backward
    shortcuts = sum(name.endswith("downsample.1") for name, _ in model.named_modules())
    assert calls.count("apply") == calls.count("grad") == shortcuts


# --- equal results ----------------------------------------------------------------------------------------------


def add(w: World, y: Any) -> Any:
    return residual_add(y, w.residual)


USES: dict[str, Callable[[World, Any], Any]] = {
    "itself": lambda w, y: [y],
    "itself after the ReLU": lambda w, y: [F.relu(y), y],
    "sum after the ReLU": lambda w, y: [s := add(w, y), F.relu(s)][::-1],
    "all of them, last first": lambda w, y: [y, s := add(w, y), F.relu(s)][::-1],
    "used before the ReLU": lambda w, y: [minicnn.exp(y), F.relu(y)],
    "used after the ReLU": lambda w, y: [F.relu(y), minicnn.exp(y)],
    "used between sum and ReLU": lambda w, y: [s := add(w, y), minicnn.exp(y), F.relu(s)][1:],
    "ReLU of it between sum and ReLU": lambda w, y: [s := add(w, y), F.relu(y), F.relu(s)][1:],
    "ReLU of it, then of the sum": lambda w, y: [F.relu(y), F.relu(add(w, y))],
    "sum used before its ReLU": lambda w, y: [s := add(w, y), s * 2, F.relu(s)][1:],
    "sum used after its ReLU": lambda w, y: [s := add(w, y), F.relu(s), s * 2][1:],
    "sum used beside it": lambda w, y: [s := add(w, y), F.relu(s) * s][1:],
    "two ReLUs": lambda w, y: [F.relu(y), F.relu(y)],
    "ReLU unrecorded, then recorded": lambda w, y: [minicnn.no_grad()(F.relu)(y), F.relu(y)],
    "two sums": lambda w, y: [F.relu(add(w, y)), F.relu(add(w, y))],
    "sum of sums": lambda w, y: [F.relu(add(w, add(w, y)))],
    "sum with itself": lambda w, y: [F.relu(y + y)],
    "sum with its ReLU": lambda w, y: [F.relu(y + F.relu(y))],
    "sum with what was made of it": lambda w, y: [F.relu(y + y * 2)],
    "sum of two norms": lambda w, y: [F.relu(residual_add(y, w.norm()))],
    "sum of two norms, one used": lambda w, y: [z := w.norm(), F.relu(y + z), z * 3][1:],
    "sum with a leaf": lambda w, y: [F.relu(y + w.leaves[1])],
    "sum with a number": lambda w, y: [F.relu(y + 0.5), F.relu(0.5 + w.norm())],
    "broadcast sum": lambda w, y: [F.relu(y + w.residual[:1])],
    "sum with float32": lambda w, y: [F.relu(y + w.residual.float())],
    "scaled sum": lambda w, y: [F.relu(y.add(w.residual, alpha=2))],
    "a view": lambda w, y: [F.relu(y.reshape(3, -1)), y.reshape(-1)[3:]],
    "a view of the residual": lambda w, y: [F.relu(y + w.residual.flatten().reshape(SHAPE))],
    "ReLU in place": lambda w, y: [y.relu_()],
    "ReLU in place, then more": lambda w, y: [y.relu_().mul_(2), y],
    "sum and ReLU in place": lambda w, y: [y.add_(w.residual).relu_()],
    "in place after the sum": lambda w, y: [s := add(w, y), y.mul_(2), F.relu(s), y][2:],
    "other in place": lambda w, y: [y.mul_(2).add_(w.residual), F.relu(y)],
    "a write into it": lambda w, y: [y.__setitem__(0, 0.0), F.relu(y)][1:],
    "detached": lambda w, y: [F.relu(y.detach() + w.residual)],
    "detached in place": lambda w, y: [F.relu(y.detach_() + w.residual), y],
    "a new leaf": lambda w, y: [F.relu(y.detach_().requires_grad_() + w.residual)],
    "its data": lambda w, y: [F.relu(y), y.data, y.data.data],
    "group norm": lambda w, y: [F.relu(F.group_norm(w.x, 2) + w.residual)],
    "evaluation": lambda w, y: [F.relu(w.norm(False)), F.relu(w.residual + w.norm(False)), w.norm(False)],
    "checkpoint": lambda w, y: [checkpoint(lambda x: F.relu(F.batch_norm(x * 1, None, None, training=True)), w.x)],
}


@pytest.mark.parametrize("name", USES)
def test_all_ways_to_use_it(name):
    def run() -> list[Any]:
        world = World()
        return world.results(*USES[name](world, world.norm()))

    assert_same(run)


MODELS = ["resnet20", "plain20", "resnet50", "seresnet18", "efficientnet_b0", "deformable_resnet18"]


@pytest.mark.parametrize("name", MODELS)
def test_whole_models(name):
    def run() -> list[Any]:
        minicnn.manual_seed(0)
        model = create_model(name, num_classes=4)
        optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
        images = minicnn.tensor(normal((2, 3, 32, 32), 0).astype("f4"))
        losses = []
        for _ in range(2):
            loss = F.cross_entropy(model(images), minicnn.tensor([0, 3]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with minicnn.no_grad():
            logits = model.eval()(images).numpy()
        return [*losses, logits, *(value.numpy().copy() for value in model.state_dict().values())]

    assert_same(run)


@pytest.mark.parametrize("name", MODELS)
def test_whole_models_compiled(name):
    """The CPU backend's own versions of the operations, against the operations themselves on the reference backend."""

    def run() -> list[Any]:
        minicnn.manual_seed(0)
        model = create_model(name, num_classes=4).double()
        images = minicnn.tensor(normal((2, 3, 64, 48), 0))
        loss = F.cross_entropy(model(images), minicnn.tensor([0, 3]))
        loss.backward()
        return [loss.item(), *(p.grad.numpy() for p in model.parameters()), *(b.numpy() for b in model.buffers())]

    found = run()
    with backend.use("reference"), no_deferral():
        expected = run()
    for index, (got, want) in enumerate(zip(found, expected, strict=True)):
        near = 1e-12 + 1e-9 * np.abs(want).max()
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=near, err_msg=f"result {index}")


def test_a_densely_connected_layer():
    from minicnn.models.densenet import DenseNet

    def run() -> list[Any]:
        minicnn.manual_seed(0)
        model = DenseNet(growth_rate=4, block_config=(2, 2), num_classes=3)
        images = minicnn.tensor(normal((2, 3, 32, 32), 0).astype("f4"))
        model(images).backward(minicnn.tensor(normal((2, 3), 1).astype("f4")))
        return [p.grad.numpy() for p in model.parameters()]

    assert_same(run)


# --- writes before the value is there ---------------------------------------------------------------------------


def under_no_grad(write: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def run(tensor: Any) -> None:
        with minicnn.no_grad():
            write(tensor)

    return run


WRITES: dict[str, Callable[[Any], Any]] = {
    "method": under_no_grad(lambda t: t.mul_(5)),
    "item": under_no_grad(lambda t: t.__setitem__(0, 7.0)),
    "through a view": under_no_grad(lambda t: t[1:].zero_()),
    "through a detached alias": lambda t: t.detach().zero_(),
    "through data": lambda t: t.data.zero_(),
    "through NumPy": lambda t: t.detach().numpy().fill(2),
    "into the raw array": lambda t: t.array.fill(3),
    "new data": lambda t: setattr(t, "data", minicnn.ones(*t.shape).double()),
}
TARGETS = ["x", "residual", "weight", "bias", "running"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("training", [True, False])
def test_writes_come_too_late(write, target, training):
    """What was computed from the old values stays, whether anybody has looked at it by then or not."""

    def run() -> list[Any]:
        world = World()
        y = world.norm(training)
        s = y + world.residual
        changed = getattr(world, target)
        for tensor in changed if isinstance(changed, tuple) else (changed,):
            WRITES[write](tensor)
        return [tensor.detach().numpy() for tensor in (F.relu(s), s, y)]

    assert_same(run)


def test_recorded_writes_come_too_late():
    def run() -> list[Any]:
        world = World()
        s = world.norm() + world.residual
        world.residual.mul_(3)
        return world.results(F.relu(s), world.residual)

    assert_same(run)


@pytest.mark.parametrize("target", ["x", "residual"])
def test_an_array_handed_out_before_may_be_written_at_any_time(target):
    def run() -> list[Any]:
        world = World()
        alias = getattr(world, target).detach().numpy()
        s = world.norm() + world.residual
        alias.fill(3)
        return [F.relu(s).detach().numpy()]

    assert_same(run)


def test_steps_and_loaded_states_come_too_late():
    def run() -> list[Any]:
        minicnn.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
        optimizer = SGD(model.parameters(), lr=1.0)
        x = minicnn.tensor(normal(SHAPE, 0).astype("f4"))
        model(x).sum().backward()
        y = model(x)
        optimizer.step()
        z = model(x)
        model.load_state_dict({key: value + 1 for key, value in model.state_dict().items()})
        return [F.relu(y).detach().numpy(), z.detach().numpy(), model(x).detach().numpy()]

    assert_same(run)


@pytest.mark.parametrize(
    ("write", "name"),
    [(lambda w, z: w.x.detach().zero_(), "BatchNorm"), (lambda w, z: z.detach().zero_(), "ReLU")],
)
def test_overwritten_arrays_are_noticed_and_named(write, name):
    world = World()
    z = F.relu(residual_add(world.norm(), world.residual))
    write(world, z)
    with pytest.raises(AutogradError, match=f"backward of {name} needs an array that was overwritten in place"):
        z.sum().backward()


# --- looking in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before the ReLU", "after the ReLU"])
@pytest.mark.parametrize("how", ["retain_grad", "a hook that looks", "a hook that changes", "inputs", "grad"])
@pytest.mark.parametrize("where", ["norm", "sum"])
def test_gradients_in_between(how, where, when):
    def run() -> list[Any]:
        world = World()
        y = world.norm()
        s = y + world.residual
        watched, seen = {"norm": y, "sum": s}[where], []
        if when == "after the ReLU":
            z = F.relu(s)
        if how == "retain_grad":
            watched.retain_grad()
        elif how == "a hook that looks":
            watched.register_hook(lambda g: seen.append(g.numpy().copy()))
        elif how == "a hook that changes":
            watched.register_hook(lambda g: g * 2)
        if when == "before the ReLU":
            z = F.relu(s)
        if how == "grad":
            return [g.numpy() for g in minicnn.autograd.grad(z, [watched, world.leaves[1]], minicnn.ones_like(z))]
        if how == "inputs":
            z.backward(minicnn.ones_like(z), inputs=[watched, world.leaves[1]])
            return [watched.grad.numpy(), world.leaves[1].grad.numpy()]
        found = world.results(z)
        return [*found, *seen, *([watched.grad.numpy()] if how == "retain_grad" else [])]

    assert_same(run)


def test_a_removed_hook_leaves_nothing_behind():
    world = World()
    y = world.norm()
    y.register_hook(lambda g: g * 2).remove()
    with counted() as calls:
        world.results(F.relu(y))
    assert calls == ["apply, relu", "grad, relu"]


def test_some_leaves_only():
    def run() -> list[Any]:
        world = World()
        z = F.relu(residual_add(world.norm(), world.residual))
        return [minicnn.autograd.grad(z, world.leaves[1], minicnn.ones_like(z))[0].numpy()]

    assert_same(run)


def test_forward_hooks_see_every_layer():
    def run() -> list[Any]:
        minicnn.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.ReLU(inplace=True))
        kept: list[Any] = []
        for layer in model:
            layer.register_forward_hook(lambda _, inputs, y: kept.append(y))
        model[2].register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
        y = model(minicnn.tensor(normal(SHAPE, 0).astype("f4")))
        y.sum().backward()
        return [tensor.detach().numpy() for tensor in kept]

    assert_same(run)


def test_anomalies_name_the_operation_and_the_module():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn, self.relu = nn.BatchNorm2d(2), nn.ReLU()

        def forward(self, x: minicnn.Tensor) -> minicnn.Tensor:
            return self.relu(self.bn(x * 1))

    block = Block()
    with minicnn.no_grad():
        block.bn.weight[0] = np.inf
    with minicnn.detect_anomaly(), pytest.raises(AnomalyError, match=r"in the output of BatchNorm, in Block\.bn"):
        block(minicnn.randn(*SHAPE))
    y = F.relu(World().norm())  # the forward unwatched
    with minicnn.detect_anomaly(), pytest.raises(AnomalyError, match="that backward of ReLU computed"):
        y.backward(minicnn.full_like(y, np.inf))


# --- the tape ---------------------------------------------------------------------------------------------------


def test_a_second_backward():
    def run() -> list[Any]:
        world = World()
        z = F.relu(residual_add(world.norm(), world.residual)).sum()
        z.backward(retain_graph=True)
        z.backward()
        with pytest.raises(AutogradError) as refused:
            z.backward()
        return [*(leaf.grad.numpy() for leaf in world.leaves), str(refused.value)]

    assert_same(run)


def test_all_of_a_chain_is_freed():
    world = World()
    y = world.norm()
    z = F.relu(y)
    z.sum().backward()
    with pytest.raises(AutogradError, match="backward reached BatchNorm a second time"):
        y.sum().backward()


def test_a_failure_leaves_everything_as_it_was(monkeypatch):
    world = World()
    y = world.norm()
    expected = np.array(World().norm().detach().numpy())

    def fail(*_: Any, **__: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(backend.load("cpu"), "batch_norm_apply", fail, raising=False)
        for look in (lambda: y.detach(), lambda: F.relu(y), lambda: y + 1, lambda: world.x.array.fill(0)):
            with pytest.raises(MemoryError):
                look()
    np.testing.assert_array_equal(y.detach().numpy(), expected)
    np.testing.assert_array_equal(F.relu(y).detach().numpy(), np.maximum(expected, 0))


def test_copies_and_pickles():
    with minicnn.no_grad():
        world = World()
        world.x = world.x.detach()
        for copied in (copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t)), lambda t: t.clone()):
            y = world.norm()
            np.testing.assert_array_equal(copied(y).numpy(), world.norm().numpy())
    with pytest.raises(AutogradError, match="only leaf tensors"):
        copy.deepcopy(World().norm())


def test_mixed_dtypes_are_computed_at_once():
    x = minicnn.tensor(normal(SHAPE, 0).astype("f4")) * 1
    y = F.batch_norm(x, None, None, minicnn.ones(2).double(), training=True)
    assert y.dtype == y.array.dtype == np.float64


def test_any_operation_may_leave_its_values_for_later():
    """What a new operation has to do."""
    computed = []

    class Later(Pending):
        def __init__(self, x: Any) -> None:
            super().__init__(x, (x,))
            self.x = x

        def compute(self) -> Any:
            computed.append(self.x.shape)
            return self.x * 2

    class Double(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return Later(x)

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return dy * 2

    x = minicnn.tensor([1.0, 2.0], requires_grad=True)
    y = Double.apply(x * 1)
    assert computed == [] and y.tolist() == [2, 4] and computed == [(2,)]
    (Double.apply(x * 1) * y.detach()).sum().backward()
    assert x.grad.tolist() == [4, 8] and len(computed) == 2
    assert Double.apply(x).shape == (2,) and len(computed) == 3  # a leaf's memory is not ours: at once
