"""Loading a state dict: everything is reported at once, and only what fits is written."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import nn
from tests.library.support.modules import Net


def test_load_state_dict_copies_in_place():
    source, target = Net(), Net()
    parameter, memory = target.fc.weight, target.fc.weight.array
    result = target.load_state_dict(source.state_dict())
    assert result == ([], []) and repr(result) == "<All keys matched successfully>"
    assert target.fc.weight is parameter and target.fc.weight.array is memory
    for key, tensor in target.state_dict().items():
        assert np.array_equal(tensor.numpy(), source.state_dict()[key].numpy()), key
    source.fc.weight.array[:] = 0
    assert np.any(target.fc.weight.array != 0)
    assert target.fc.weight.requires_grad and target.fc.weight.is_leaf


def test_load_state_dict_takes_arrays_of_another_dtype():
    net = Net()
    state = {key: np.asarray(t.numpy() + 1, np.float64 if t.ndim else None) for key, t in net.state_dict().items()}
    net.load_state_dict(state)
    assert np.allclose(net.fc.weight.array, state["fc.weight"])
    assert str(net.fc.weight.dtype) == "float32"
    assert net.layer1[0].bn1.num_batches_tracked.item() == 1


def test_load_state_dict_takes_parameters():
    net, other = Net(), Net()
    net.load_state_dict(dict(other.named_parameters()) | dict(other.named_buffers()))
    assert np.array_equal(net.fc.weight.array, other.fc.weight.array)
    assert net.fc.weight.is_leaf


def test_loading_is_noticed_by_a_pending_backward():
    layer = nn.Linear(2, 2)
    x = minicnn.Tensor(np.ones((1, 2), np.float32), requires_grad=True)
    out = layer(x).sum()
    layer.load_state_dict(nn.Linear(2, 2).state_dict())
    with pytest.raises(RuntimeError, match="overwritten"):
        out.backward()


def test_strict_loading_reports_everything_at_once_and_changes_nothing():
    net = Net()
    before = {key: tensor.numpy().copy() for key, tensor in net.state_dict().items()}
    state = {key: array + 1 for key, array in before.items()}
    del state["conv1.bias"], state["layer1.1.bn1.weight"]
    state["extra"] = np.ones(1)
    state["layer3.0.weight"] = np.ones(1)
    state["fc.weight"] = np.ones((7, 8), np.float32)
    state["fc.bias"] = np.ones(7, np.float32)
    state["layer2.0.bias"] = "text"
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert message.startswith("cannot load this state into Net, and nothing of it was loaded:")
    for part in (
        'missing key: "conv1.bias"',
        'missing key: "layer1.1.bn1.weight"',
        'unexpected key: "extra"',
        'unexpected key: "layer3.0.weight"',
        "size mismatch for fc.weight: (7, 8) in the state, (5, 8) in the module",
        "size mismatch for fc.bias: (7,) in the state, (5,) in the module",
        "not an array: layer2.0.bias is a str in the state",
    ):
        assert part in message
    assert len(message.splitlines()) == 8
    for key, tensor in net.state_dict().items():
        assert np.array_equal(tensor.numpy(), before[key]), key


def test_loading_that_is_not_strict_returns_the_keys_and_still_checks_sizes():
    layer = nn.Linear(2, 3)
    result = layer.load_state_dict({"weight": np.zeros((3, 2)), "other": np.ones(1)}, strict=False)
    assert result.missing_keys == ["bias"] and result.unexpected_keys == ["other"]
    assert repr(result) == "IncompatibleKeys(missing_keys=['bias'], unexpected_keys=['other'])"
    assert np.all(layer.weight.array == 0)
    assert "missing_keys=['bias'], unexpected_keys=[]" in repr(
        layer.load_state_dict({"weight": np.zeros((3, 2))}, strict=False)
    )
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        layer.load_state_dict({"weight": np.zeros((2, 3)), "bias": np.ones(3)}, strict=False)
    assert not np.all(layer.bias.array == 1)


def test_loading_hints_at_the_usual_causes():
    net = nn.Sequential(nn.Linear(1, 1))
    wrapped = {f"module.{key}": tensor for key, tensor in net.state_dict().items()}
    with pytest.raises(RuntimeError, match='without the prefix "module."'):
        net.load_state_dict(wrapped)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(wrapped | {"module.other": np.ones(1)})
    assert "prefix" not in str(caught.value)
    with pytest.raises(RuntimeError, match=r'load state\["model"\]'):
        net.load_state_dict({"epoch": 3, "model": net.state_dict()})
    with pytest.raises(TypeError, match="expected a dictionary of tensors as state, got list"):
        net.load_state_dict([1])


def test_the_count_of_batches_may_be_missing():
    norm = nn.BatchNorm2d(2)
    state = norm.state_dict()
    del state["num_batches_tracked"]
    assert norm.load_state_dict(state).missing_keys == []
    del state["running_var"]
    with pytest.raises(RuntimeError, match='missing key: "running_var"'):
        norm.load_state_dict(state)
