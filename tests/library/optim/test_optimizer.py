"""The optimisers: PyTorch's results, the textbook's formulas, groups, state, and errors."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import backend
from minicnn.autograd.memory import memory_of
from minicnn.backend.cpu import small_work
from minicnn.errors import AutogradError
from minicnn.optim import SGD, Adam, AdamW, Optimizer
from tests.library.support import peers

STEPS = 50
SHAPES = [(), (3,), (2, 3), (4, 2, 3, 3)]
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}  # of the largest entry

shares = st.floats(0, 0.99) | st.just(0.0)
sgd_options = st.fixed_dictionaries(
    {
        "lr": st.floats(1e-4, 0.5),
        "momentum": shares,
        "dampening": shares,
        "weight_decay": shares,
        "maximize": st.booleans(),
        "nesterov": st.booleans(),
    }
).map(lambda o: {**o, "dampening": 0.0, "momentum": max(o["momentum"], 0.1)} if o["nesterov"] else o)
adam_options = st.fixed_dictionaries(
    {
        "lr": st.floats(1e-4, 0.1),
        # With a short memory of the square, a gradient near 0 magnifies rounding errors without bound.
        "betas": st.tuples(st.floats(0, 0.95), st.floats(0.9, 0.9999)),
        "eps": st.floats(1e-8, 1e-2),
        "weight_decay": shares,
        "amsgrad": st.booleans(),
        "maximize": st.booleans(),
    }
)
CASES = {"SGD": (SGD, sgd_options), "Adam": (Adam, adam_options), "AdamW": (AdamW, adam_options)}


def random_arrays(dtype: str, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape), dtype=dtype) for shape in SHAPES]


def parameters(dtype: str = "float64", seed: int = 0) -> list[minicnn.Tensor]:
    return [minicnn.Tensor(array, requires_grad=True) for array in random_arrays(dtype, seed)]


def take_steps(optimizer: Any, params: list[Any], wrap: Any, dtype: str, first: int = 0, last: int = STEPS) -> None:
    """Steps ``first`` to ``last`` - 1 with gradients drawn from the number of the step; the second misses some."""
    for step in range(first, last):
        for number, (param, grad) in enumerate(zip(params, random_arrays(dtype, seed=1000 + step), strict=True)):
            param.grad = None if step == 1 and number == 2 else wrap(grad)
        optimizer.step()


def worst_difference(ours: Any, theirs: Any) -> float:
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max()))


# ---- the same numbers as PyTorch's ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_fifty_steps_equal_pytorch(name: str, dtype: str, data: Any) -> None:
    torch = peers.torch()
    cls, options = CASES[name]
    chosen = data.draw(options)
    ours = parameters(dtype)
    theirs = [torch.tensor(array, requires_grad=True) for array in random_arrays(dtype)]
    take_steps(cls(ours, **chosen), ours, minicnn.Tensor, dtype)
    take_steps(getattr(torch.optim, name)(theirs, **chosen), theirs, torch.tensor, dtype)
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype == dtype
        assert worst_difference(our.array, their.detach().numpy()) <= TOLERANCE[dtype]


@pytest.mark.parametrize("name", CASES)
def test_default_options_are_pytorchs(name: str) -> None:
    torch = peers.torch()
    ours = CASES[name][0](parameters()).param_groups[0]
    theirs = getattr(torch.optim, name)([torch.zeros(1, requires_grad=True)]).param_groups[0]
    assert {key: theirs[key] for key in ours if key != "params"} == {k: v for k, v in ours.items() if k != "params"}


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_state_dicts_go_from_and_to_pytorch(name: str, data: Any) -> None:
    torch = peers.torch()
    cls, options = CASES[name]
    chosen = data.draw(options)
    theirs = [torch.tensor(array, requires_grad=True) for array in random_arrays("float64")]
    their_optimizer = getattr(torch.optim, name)(theirs, **chosen)
    take_steps(their_optimizer, theirs, torch.tensor, "float64", last=10)
    theirs_state = their_optimizer.state_dict()
    numpy_state = {
        index: {key: None if value is None else value.numpy().copy() for key, value in entry.items()}
        for index, entry in theirs_state["state"].items()
    }
    ours = [minicnn.Tensor(param.detach().numpy().copy(), requires_grad=True) for param in theirs]
    optimizer = cls(ours, lr=123.0)
    optimizer.load_state_dict({"state": numpy_state, "param_groups": theirs_state["param_groups"]})
    take_steps(optimizer, ours, minicnn.Tensor, "float64", first=10, last=20)

    our_state = optimizer.state_dict()
    back = {
        index: {key: torch.tensor(np.asarray(value, np.float64)) for key, value in entry.items()}
        for index, entry in our_state["state"].items()
    }
    fresh = [torch.tensor(param.array.copy(), requires_grad=True) for param in ours]
    fresh_optimizer = getattr(torch.optim, name)(fresh, lr=123.0)
    fresh_optimizer.load_state_dict({"state": back, "param_groups": our_state["param_groups"]})
    take_steps(fresh_optimizer, fresh, torch.tensor, "float64", first=20, last=30)

    take_steps(their_optimizer, theirs, torch.tensor, "float64", first=10, last=30)
    for one, other in zip(fresh, theirs, strict=True):
        assert worst_difference(one.detach().numpy(), other.detach().numpy()) <= 1e-12


# ---- the textbook's formulas, one number at a time -----------------------------------------------------------


def sgd_by_hand(value: float, grads: list[float], o: dict[str, Any]) -> float:
    velocity = None
    for grad in grads:
        slope = (-grad if o["maximize"] else grad) + o["weight_decay"] * value
        velocity = slope if velocity is None else o["momentum"] * velocity + (1 - o["dampening"]) * slope
        if o["momentum"] == 0:
            velocity = slope
        value -= o["lr"] * (slope + o["momentum"] * velocity if o["nesterov"] else velocity)
    return value


def adam_by_hand(value: float, grads: list[float], o: dict[str, Any], decoupled: bool) -> float:
    mean = square = largest = 0.0
    (beta1, beta2), lr = o["betas"], o["lr"]
    for t, grad in enumerate(grads, start=1):
        slope = -grad if o["maximize"] else grad
        if decoupled:
            value -= lr * o["weight_decay"] * value
        else:
            slope += o["weight_decay"] * value
        mean = beta1 * mean + (1 - beta1) * slope
        square = beta2 * square + (1 - beta2) * slope * slope
        largest = max(largest, square)
        corrected = (largest if o["amsgrad"] else square) / (1 - beta2**t)
        value -= lr * (mean / (1 - beta1**t)) / (math.sqrt(corrected) + o["eps"])
    return value


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_fifty_steps_follow_the_formulas(name: str, data: Any) -> None:
    cls, options = CASES[name]
    chosen = data.draw(options)
    start = data.draw(st.floats(-2, 2))
    grads = np.random.default_rng(3).standard_normal(STEPS).tolist()
    param = minicnn.tensor([start, 0.5], dtype=minicnn.float64, requires_grad=True)
    optimizer = cls([param], **chosen)
    for grad in grads:
        param.grad = minicnn.tensor([grad, 0.0], dtype=minicnn.float64)
        optimizer.step()
    by_hand = (
        sgd_by_hand(start, grads, chosen) if name == "SGD" else adam_by_hand(start, grads, chosen, name == "AdamW")
    )
    assert worst_difference(param.array[0], by_hand) <= 1e-12


# ---- what a step touches and what not ------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_a_step_writes_in_place_and_leaves_gradients_alone(name: str, data: Any) -> None:
    cls, options = CASES[name]
    params = parameters("float32")
    arrays = [param.array for param in params]
    grads = random_arrays("float32", seed=5)
    for param, grad in zip(params, grads, strict=True):
        param.grad = minicnn.Tensor(grad.copy())
    kept = [param.grad for param in params]
    optimizer = cls(params, **data.draw(options))
    for _ in range(3):  # an odd number: a sign changed in place would not come back
        optimizer.step()
    for param, array, grad, before in zip(params, arrays, kept, grads, strict=True):
        assert param.array is array and param.grad is grad
        np.testing.assert_array_equal(grad.array, before)
    for entry in optimizer.state.values():
        assert all(value.dtype == "float32" for key, value in entry.items() if key != "step")


def test_numpy_learning_rates_do_not_raise_the_precision() -> None:
    param = minicnn.tensor([1.0], requires_grad=True)
    optimizer = SGD([param], lr=np.float64(0.1), momentum=np.float64(0.9))
    for _ in range(2):
        param.grad = minicnn.tensor([1.0])
        optimizer.step()
    assert param.dtype == "float32" and optimizer.state[param]["momentum_buffer"].dtype == "float32"


def test_a_strided_parameter_is_updated_where_it_lies() -> None:
    whole = np.zeros((4, 6))
    view = whole[::2, 1::3]
    new = view.copy()
    grad = np.arange(4.0).reshape(2, 2)
    backend.get("cpu").sgd_step([view], [grad], [None], lr=1.0)
    backend.get("cpu").sgd_step([new], [grad], [None], lr=1.0)
    np.testing.assert_array_equal(whole[::2, 1::3], new)
    assert np.count_nonzero(whole) == np.count_nonzero(new)


def test_parameters_without_gradient_stay_and_keep_no_state() -> None:
    used, unused = parameters()[1:3]
    before = unused.array.copy()
    used.grad = minicnn.ones_like(used)
    optimizer = Adam([used, unused], lr=0.1, weight_decay=0.5)
    optimizer.step()
    np.testing.assert_array_equal(unused.array, before)
    assert list(optimizer.state) == [used]


def test_backward_notices_that_a_step_has_overwritten_a_weight() -> None:
    weight = minicnn.tensor([2.0, 3.0], requires_grad=True)
    loss = (weight * weight).sum()
    weight.grad = minicnn.ones(2)
    SGD([weight], lr=0.1).step()
    with pytest.raises(AutogradError):
        loss.backward()


def test_zero_grad_forgets_or_zeroes() -> None:
    param = minicnn.tensor([1.0, 2.0], requires_grad=True)
    optimizer = SGD([param], lr=0.1)
    param.grad = minicnn.tensor([3.0, 4.0])
    kept = param.grad
    optimizer.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(param.grad.array, [0, 0])
    np.testing.assert_array_equal(kept.array, [0, 0])
    optimizer.zero_grad()
    assert param.grad is None
    optimizer.zero_grad(set_to_none=False)
    assert param.grad is None


def test_the_closure_runs_with_the_tape_on_and_its_loss_comes_back() -> None:
    param = minicnn.tensor([1.0], requires_grad=True)
    optimizer = SGD([param], lr=0.1)

    def closure() -> minicnn.Tensor:
        optimizer.zero_grad()
        loss = (param * param).sum()
        loss.backward()
        return loss

    with minicnn.no_grad():
        assert optimizer.step(closure).item() == 1.0
    np.testing.assert_allclose(param.array, [0.8], rtol=1e-6)
    assert optimizer.step() is None


@pytest.mark.parametrize("name", CASES)
def test_every_optimizer_finds_the_minimum(name: str) -> None:
    param = minicnn.tensor([3.0, -2.0], dtype=minicnn.float64, requires_grad=True)
    target = minicnn.tensor([1.0, 1.0], dtype=minicnn.float64)
    optimizer = CASES[name][0]([param], lr=0.1, weight_decay=0.0)
    for _ in range(300):
        optimizer.zero_grad()
        ((param - target) ** 2).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(param.detach().numpy(), [1, 1], atol=1e-3)


# ---- groups --------------------------------------------------------------------------------------------------


def test_groups_have_options_of_their_own() -> None:
    first, second = parameters()[1:3]
    before = first.array.copy(), second.array.copy()
    optimizer = SGD([{"params": [first]}, {"params": [second], "lr": 1.0}], lr=0.1)
    first.grad, second.grad = minicnn.ones_like(first), minicnn.ones_like(second)
    optimizer.step()
    np.testing.assert_allclose(before[0] - first.array, 0.1)
    np.testing.assert_allclose(before[1] - second.array, 1.0)
    optimizer.param_groups[0]["lr"] = 0.0
    at = first.array.copy()
    optimizer.step()
    np.testing.assert_array_equal(first.array, at)


def test_groups_can_be_added_and_named() -> None:
    first, second, third = parameters()[1:4]
    optimizer = Adam([("body.weight", first)], lr=0.1)
    optimizer.add_param_group({"params": second, "betas": (0.5, 0.6)})
    optimizer.add_param_group({"params": (tensor for tensor in [third])})
    assert optimizer.param_groups[0]["param_names"] == ["body.weight"]
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1, 1]
    assert [group["betas"] for group in optimizer.param_groups] == [(0.9, 0.999), (0.5, 0.6), (0.9, 0.999)]
    assert "betas: (0.5, 0.6)" in repr(optimizer)


# ---- state ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_a_resumed_optimizer_goes_on_bit_identically(name: str, data: Any) -> None:
    cls, options = CASES[name]
    chosen = data.draw(options)
    stop = data.draw(st.integers(0, 20))
    through = parameters("float32")
    take_steps(cls(through, **chosen), through, minicnn.Tensor, "float32", last=20)

    first = parameters("float32")
    before = cls(first, **chosen)
    take_steps(before, first, minicnn.Tensor, "float32", last=stop)
    saved = before.state_dict()
    json.dumps(saved["param_groups"])
    resumed = [minicnn.Tensor(param.array.copy(), requires_grad=True) for param in first]
    after = cls(resumed, lr=9.0)
    after.load_state_dict(saved)
    take_steps(after, resumed, minicnn.Tensor, "float32", first=stop, last=20)
    for one, other in zip(through, resumed, strict=True):
        np.testing.assert_array_equal(one.array, other.array)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loaded_tensors_are_copies_in_the_dtype_of_the_parameter(dtype: str) -> None:
    source = parameters("float64")
    before = SGD(source, lr=0.1, momentum=0.9)
    take_steps(before, source, minicnn.Tensor, "float64", last=2)
    target = parameters(dtype)
    after = SGD(target, lr=0.1)
    after.load_state_dict(before.state_dict())
    buffer = after.state[target[3]]["momentum_buffer"]
    assert buffer.dtype == dtype
    mine = before.state[source[3]]["momentum_buffer"].array.copy()
    buffer.array[...] = 7
    np.testing.assert_array_equal(before.state[source[3]]["momentum_buffer"].array, mine)


def test_the_state_has_pytorchs_layout() -> None:
    params = parameters()
    optimizer = Adam([{"params": params[:1]}, {"params": params[1:], "lr": 0.5}], amsgrad=True)
    take_steps(optimizer, params, minicnn.Tensor, "float64", last=3)
    state = optimizer.state_dict()
    assert set(state["state"]) == {0, 1, 2, 3}
    assert set(state["state"][0]) == {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}
    assert [state["state"][index]["step"] for index in range(4)] == [3, 3, 2, 3]
    assert [group["params"] for group in state["param_groups"]] == [[0], [1, 2, 3]]
    assert [group["lr"] for group in state["param_groups"]] == [1e-3, 0.5]


def wrong_states() -> dict[str, tuple[Any, str]]:
    params = parameters()
    optimizer = SGD(params, lr=0.1, momentum=0.9)
    take_steps(optimizer, params, minicnn.Tensor, "float64", last=1)
    good = optimizer.state_dict()
    group = good["param_groups"][0]
    return {
        "not a state": ({"model": 1}, "'state' and 'param_groups'"),
        "other sizes": ({**good, "param_groups": [{**group, "params": [0, 1]}]}, r"\[4\].*\[2\]"),
        "more groups": ({**good, "param_groups": [group, {**group, "params": []}]}, r"\[4\].*\[4, 0\]"),
        "other shape": (
            {**good, "state": {1: {"momentum_buffer": np.zeros((2, 2))}}},
            r"'momentum_buffer' must have shape \(3,\), got \(2, 2\)",
        ),
        "other optimizer": ({**good, "state": {1: {"exp_avg": np.zeros(3)}}}, "exp_avg"),
        "unknown index": ({**good, "state": {7: {}}}, "parameter 7"),
    }


@pytest.mark.parametrize("case", wrong_states())
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(case: str) -> None:
    state, message = wrong_states()[case]
    params = parameters()
    optimizer = SGD(params, lr=0.25, momentum=0.5)
    take_steps(optimizer, params, minicnn.Tensor, "float64", last=1)
    buffers = [optimizer.state[param]["momentum_buffer"].array.copy() for param in params if param.grad is not None]
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.25
    for param, buffer in zip(params, buffers, strict=True):
        np.testing.assert_array_equal(optimizer.state[param]["momentum_buffer"].array, buffer)


# ---- errors --------------------------------------------------------------------------------------------------

LEAF = minicnn.tensor([1.0], requires_grad=True)
WRONG_CALLS: dict[str, tuple[Any, type[Exception], str]] = {
    "no parameters": (lambda: SGD([], lr=0.1), ValueError, "empty parameter list"),
    "an exhausted generator": (lambda: SGD(iter(()), lr=0.1), ValueError, "empty parameter list"),
    "one tensor": (lambda: SGD(LEAF, lr=0.1), TypeError, "one Tensor"),
    "a number": (lambda: SGD(3, lr=0.1), TypeError, "int"),
    "a set": (lambda: SGD({LEAF}, lr=0.1), TypeError, "not a set"),
    "an array": (lambda: SGD([np.zeros(3)], lr=0.1), TypeError, "ndarray"),
    "a non-leaf": (lambda: SGD([LEAF * 2], lr=0.1), ValueError, "non-leaf"),
    "twice in a group": (lambda: SGD([LEAF, LEAF], lr=0.1), ValueError, "given twice"),
    "twice in groups": (lambda: SGD([{"params": LEAF}, {"params": [LEAF]}], lr=0.1), ValueError, "given twice"),
    "a group without params": (lambda: SGD([{"lr": 0.1}]), TypeError, "'params'"),
    "names for some": (lambda: SGD([("a", LEAF), minicnn.zeros(1)]), ValueError, "names"),
    "negative rate": (lambda: SGD([LEAF], lr=-0.1), ValueError, r"`lr` \(=-0.1\)"),
    "no rate": (lambda: Adam([LEAF], lr=math.nan), ValueError, r"`lr` \(=nan\)"),
    "infinite rate": (lambda: Adam([LEAF], lr=math.inf), ValueError, r"`lr` \(=inf\)"),
    "rate of a group": (lambda: SGD([{"params": [LEAF], "lr": -2}]), ValueError, r"`lr` \(=-2\)"),
    "momentum": (lambda: SGD([LEAF], momentum=-1), ValueError, r"`momentum` \(=-1\)"),
    "weight decay": (lambda: AdamW([LEAF], weight_decay=-1), ValueError, r"`weight_decay` \(=-1\)"),
    "nesterov": (lambda: SGD([LEAF], nesterov=True), ValueError, "momentum=0, dampening=0"),
    "betas": (lambda: Adam([LEAF], betas=(0.9, 1.0)), ValueError, r"`betas` \(=\(0.9, 1.0\)\)"),
    "eps": (lambda: Adam([LEAF], eps=-1e-8), ValueError, r"`eps` \(=-1e-08\)"),
}


@pytest.mark.parametrize("case", WRONG_CALLS)
def test_wrong_calls_are_refused_with_the_value_quoted(case: str) -> None:
    call, error, message = WRONG_CALLS[case]
    with pytest.raises(error, match=message):
        call()


def test_an_optimizer_of_ones_own_needs_only_update() -> None:
    class SignDescent(Optimizer):
        def update(self, param: minicnn.Tensor, grad: minicnn.Tensor, group: dict[str, Any]) -> None:
            param.array[...] -= group["lr"] * np.sign(grad.array)

    param = minicnn.tensor([1.0, 1.0], requires_grad=True)
    param.grad = minicnn.tensor([5.0, -0.1])
    SignDescent([param], {"lr": 0.5}).step()
    np.testing.assert_allclose(param.array, [0.5, 1.5])
    with pytest.raises(NotImplementedError, match="update"):
        Optimizer([param], {"lr": 0.5}).step()


@pytest.mark.parametrize("name", CASES)
def test_an_update_of_ones_own_counts_below_sgd_and_adam_too(name: str) -> None:
    class Centred(CASES[name][0]):  # type: ignore[misc]
        def update(self, param: minicnn.Tensor, grad: minicnn.Tensor, group: dict[str, Any]) -> None:
            super().update(param, grad - grad.mean(), group)

    class Renamed(Centred):  # type: ignore[misc]
        """Nothing of its own."""

    for cls in (Centred, Renamed):
        ours, theirs = parameters()[1:], parameters()[1:]
        optimizer, plain = cls(ours, lr=0.1), CASES[name][0](theirs, lr=0.1)
        for _ in range(3):
            for our, their, grad in zip(ours, theirs, random_arrays("float64", 7)[1:], strict=True):
                our.grad, their.grad = minicnn.Tensor(grad), minicnn.Tensor(grad - grad.mean())
            optimizer.step()
            plain.step()
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(our.array, their.array)


def test_many_parameters_are_updated_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    primitive = type(backend.get("cpu")).sgd_step

    def counted(self: Any, params: Any, *args: Any, **options: Any) -> Any:
        calls.append([param.dtype.name for param in params])
        return primitive(self, params, *args, **options)

    monkeypatch.setattr(type(backend.get("cpu")), "sgd_step", counted)
    params = [*parameters("float32"), *parameters("float64")]
    optimizer = SGD(params, lr=0.1, momentum=0.9)
    take = [param.array.copy() for param in params]
    for param in params:
        param.grad = minicnn.ones_like(param)
    writes = [memory_of(param).writes for param in params]
    optimizer.step()
    assert calls == [["float32"] * 4, ["float64"] * 4]
    assert [memory_of(param).writes for param in params] == [count + 1 for count in writes]
    for param, before in zip(params, take, strict=True):
        np.testing.assert_allclose(param.array, before - 0.1, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_the_compiled_step_equals_the_reference_bit_for_bit(name: str, data: Any) -> None:
    cls, options = CASES[name]
    chosen = data.draw(options)
    found = []
    for kind in ("cpu", "reference"):
        params = parameters("float32")
        with backend.use(kind), small_work(0):
            take_steps(cls(params, **chosen), params, minicnn.Tensor, "float32", last=3)
        found.append(params)
    for our, their in zip(*found, strict=True):
        np.testing.assert_array_equal(our.array, their.array)
