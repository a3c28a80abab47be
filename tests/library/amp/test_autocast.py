"""Which operations autocast lowers, rounds and leaves; nesting, threads, and what is kept of parameters."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import nn
from minicnn.amp.casting import POLICIES, Rounded, rounded
from minicnn.nn import functional as F
from minicnn.ops import guards
from minicnn.utils.checkpoint import checkpoint
from tests.library.support import peers
from tests.library.support.strategies import normal

DTYPES = ["float16", "bfloat16"]


def is_rounded(x: minicnn.Tensor, dtype: str = "bfloat16") -> bool:
    """Whether the numbers have no more digits than ``dtype``."""
    return np.array_equal(x.detach().numpy(), rounded(x.detach().numpy(), dtype))


def net() -> nn.Module:
    minicnn.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))


@pytest.mark.parametrize("dtype", DTYPES)
@given(words=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=64))
def test_numbers_are_rounded_to_the_nearest(dtype, words):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with np.errstate(all="ignore"):
        few = np.arange(2**16, dtype=np.uint16).view(getattr(ml_dtypes, dtype, dtype)).astype(np.float32)
        x = np.concatenate([few, few[:-1] / 2 + few[1:] / 2, np.array(words, np.uint32).view(np.float32)])
        expected = x.astype(getattr(ml_dtypes, dtype, dtype)).astype(np.float32)
    np.testing.assert_array_equal(rounded(x, dtype), expected)


def test_the_table_names_public_functions_that_look_at_it():
    public = {name: getattr(minicnn, name, None) or getattr(F, name) for name in POLICIES}
    assert [name for name, function in public.items() if function.__code__ is not guards.guard(F.pad).__code__] == []


@pytest.mark.parametrize("dtype", DTYPES)
def test_on_the_cpu_a_product_and_its_factors_are_rounded(dtype):
    x, weight = (
        minicnn.tensor(normal(s, 0).astype("float32"), requires_grad=True) for s in ((2, 3, 5, 5), (4, 3, 3, 3))
    )
    with minicnn.autocast("cpu", dtype=dtype):
        y = F.conv2d(x, weight)
    short = [minicnn.tensor(rounded(t.detach().numpy(), dtype), requires_grad=True) for t in (x, weight)]
    plain = F.conv2d(*short)
    assert y.dtype == minicnn.float32
    np.testing.assert_array_equal(y.detach().numpy(), rounded(plain.detach().numpy(), dtype))
    cotangent = normal(y.shape, 1).astype("float32")
    y.backward(minicnn.tensor(cotangent))
    plain.backward(minicnn.tensor(rounded(cotangent, dtype)))
    for given_tensor, leaf in zip((x, weight), short, strict=True):
        np.testing.assert_array_equal(given_tensor.grad.numpy(), rounded(leaf.grad.numpy(), dtype))


@pytest.mark.parametrize("name", ["linear", "matmul", "conv2d", "addition", "cross_entropy", "softmax", "method", "@"])
def test_values_are_those_of_pytorch_up_to_one_rounding(name):
    torch = peers.torch()
    arrays = [normal((6, 8), 0).astype("float32"), normal((8, 8), 1).astype("float32")]
    labels = np.arange(6) % 8
    calls = {
        "linear": lambda lib, f, a, b: f.linear(a, b),
        "matmul": lambda lib, f, a, b: lib.matmul(a, b),
        "conv2d": lambda lib, f, a, b: f.conv2d(a.reshape(1, 3, 4, 4), b.reshape(4, 4, 2, 2)[:, :3]),
        "addition": lambda lib, f, a, b: a + b[:6],
        "cross_entropy": lambda lib, f, a, b: f.cross_entropy(a, lib.tensor(labels)),
        "softmax": lambda lib, f, a, b: lib.softmax(a, 1),
        "method": lambda lib, f, a, b: a.mm(b),
        "@": lambda lib, f, a, b: a @ b,
    }
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = calls[name](torch, torch.nn.functional, *map(torch.tensor, arrays))
    with minicnn.autocast("cpu"):
        y = calls[name](minicnn, F, *map(minicnn.tensor, arrays))
    lowered = expected.dtype == torch.bfloat16
    assert is_rounded(y) == lowered
    np.testing.assert_allclose(y.numpy(), expected.float().numpy(), rtol=2**-7 if lowered else 1e-6, atol=1e-6)


def test_blocks_nest_and_switch_off():
    assert not minicnn.is_autocast_enabled("cpu") and minicnn.get_autocast_dtype("cpu") == minicnn.bfloat16
    with minicnn.autocast("cpu", dtype=minicnn.float16):
        assert minicnn.get_autocast_dtype("cpu") == minicnn.float16
        with minicnn.autocast("cuda", dtype="bfloat16"):
            assert minicnn.is_autocast_enabled("cpu") and minicnn.is_autocast_enabled("cuda")
            with minicnn.autocast("cpu", enabled=False):
                assert not minicnn.is_autocast_enabled("cpu") and minicnn.is_autocast_enabled("cuda")
            assert minicnn.is_autocast_enabled("cpu")
        assert not minicnn.is_autocast_enabled("cuda")
        with minicnn.autocast("cpu", dtype="bfloat16"):
            assert minicnn.get_autocast_dtype("cpu") == minicnn.bfloat16
    assert not minicnn.is_autocast_enabled("cpu")


def test_it_is_a_decorator_and_belongs_to_its_thread():
    found = []

    @minicnn.autocast("cpu", dtype="float16")
    def run():
        thread = threading.Thread(target=lambda: found.append(minicnn.is_autocast_enabled("cpu")))
        thread.start()
        thread.join()
        return minicnn.is_autocast_enabled("cpu"), minicnn.get_autocast_dtype("cpu")

    assert run() == (True, minicnn.float16) and found == [False] and not minicnn.is_autocast_enabled("cpu")


def test_other_devices_and_dtypes_are_refused():
    with pytest.raises(ValueError, match="expected device_type 'cuda' or 'cpu', got 'tpu'"):
        minicnn.autocast("tpu")
    with pytest.raises(ValueError, match="expected dtype 'float16' or 'bfloat16'"):
        minicnn.autocast("cuda", dtype=minicnn.float32)


def test_questions_about_other_devices_are_refused():
    for ask in (minicnn.get_autocast_dtype, minicnn.is_autocast_enabled):
        with pytest.raises(ValueError, match=f"{ask.__name__}: expected device_type 'cuda' or 'cpu', got 'tpu'"):
            ask("tpu")


def test_a_product_with_an_array_on_its_left_is_rounded():
    x, weight = (normal(shape, 0).astype("float32") for shape in ((2, 3), (3, 4)))
    with minicnn.autocast("cpu"):
        left, right = x @ minicnn.tensor(weight), minicnn.tensor(x) @ weight
    np.testing.assert_array_equal(left.numpy(), right.numpy())
    assert is_rounded(left)


def test_tensors_of_another_device_or_dtype_are_left_alone():
    x = minicnn.randn(4, 4)
    with minicnn.autocast("cuda"):
        np.testing.assert_array_equal((x @ x).numpy(), x.numpy() @ x.numpy())
    with minicnn.autocast("cpu"):
        assert (x.double() @ x.double()).dtype == minicnn.float64
        assert (minicnn.arange(3) @ minicnn.arange(3)).dtype == minicnn.int64


def test_a_parameter_is_cast_once_until_it_changes():
    layer = nn.Linear(4, 4, bias=False)
    x, calls = minicnn.randn(2, 4), []
    forward = Rounded.forward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Rounded, "forward", staticmethod(lambda ctx, x, dtype: calls.append(x.shape) or forward(ctx, x, dtype))
        )
        with minicnn.autocast("cpu"):
            first = layer(x)
            layer(x)
            assert calls.count((4, 4)) == 1
            with minicnn.no_grad():
                layer.weight.mul_(2)
            second = layer(x)
            assert calls.count((4, 4)) == 2
            with minicnn.no_grad():
                layer(x)  # the cast that is kept has a history, and this one is to have none
            assert calls.count((4, 4)) == 3
            np.testing.assert_array_equal(second.detach().numpy(), 2 * first.detach().numpy())
        with minicnn.autocast("cpu", cache_enabled=False):
            layer(x)
            layer(x)
        assert calls.count((4, 4)) == 5


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_those_of_pytorch(dtype):
    """Of the float32 parameters, rounded where PyTorch rounds them."""
    torch = peers.torch()
    model, layers = net(), torch.nn
    peer = layers.Sequential(
        layers.Conv2d(3, 4, 3, bias=False), layers.BatchNorm2d(4), layers.ReLU(), layers.Flatten(), layers.Linear(64, 5)
    )
    peer.load_state_dict({name: torch.tensor(value.numpy()) for name, value in model.state_dict().items()})
    x, labels = normal((8, 3, 6, 6), 0).astype("float32"), np.arange(8) % 5
    for lib, network, functional in ((minicnn, model, F), (torch, peer, layers.functional)):
        with lib.autocast("cpu", dtype=getattr(lib, dtype)):
            loss = functional.cross_entropy(network(lib.tensor(x)), lib.tensor(labels))
        loss.backward()
    for ours, theirs in zip(model.parameters(), peer.parameters(), strict=True):
        assert ours.grad.dtype == np.float32
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-5)


def test_a_checkpoint_computes_again_under_the_same_autocast():
    model, x = net().eval(), minicnn.tensor(normal((2, 3, 6, 6), 0).astype("float32"))
    results = []
    for run in (model, lambda x: checkpoint(model, x)):
        model.zero_grad()
        with minicnn.autocast("cpu"):
            y = run(x.requires_grad_())
        y.sum().backward()
        results.append([y.detach().numpy(), *(p.grad.numpy().copy() for p in model.parameters())])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_anomalies_are_found_inside():
    x = minicnn.tensor([[1e5]], requires_grad=True)
    with minicnn.detect_anomaly(), minicnn.autocast("cpu", dtype="float16"), pytest.raises(minicnn.errors.AnomalyError):
        x @ x


def test_compiled_models_compute_the_same():
    model, x = net(), minicnn.tensor(normal((8, 3, 6, 6), 0).astype("float32"))
    compiled = minicnn.compile(model)
    optimizer = minicnn.optim.SGD(model.parameters(), lr=0.01)
    for dtype in (None, "bfloat16", "float16") * 2:
        for training in (True, False):
            model.train(training)
            results = []
            for run in (model, compiled):
                with minicnn.autocast("cpu", dtype=dtype, enabled=dtype is not None):
                    y = run(x)
                model.zero_grad()
                y.square().sum().backward()
                results.append([y.detach().numpy(), *(p.grad.numpy().copy() for p in model.parameters())])
            error = 1e-4 if dtype is None else 2.0**-7  # a last bit may be rounded the other way
            for one, other in zip(*results, strict=True):
                np.testing.assert_allclose(other, one, atol=error * np.abs(one).max())
            assert dtype is None or is_rounded(minicnn.tensor(results[1][0]), dtype)
            optimizer.step()  # the plans cast the parameters anew
    assert len(compiled.plans) == 6 and all(plan.holds() for plan in compiled.plans.values())
