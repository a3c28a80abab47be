"""``nn.Module``: registration, walking, calling, and what it says when something is wrong."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import weakref
from collections import OrderedDict

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.autograd import scope
from minicnn.errors import ShapeError
from tests.library.support import peers
from tests.library.support.modules import Block, Net


def images(*shape: int) -> minicnn.Tensor:
    return minicnn.Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


# ------------------------------------------------------------------------------------------------ registration


def test_assignment_registers_parameters_modules_and_nothing_else():
    module = nn.Module()
    module.weight = nn.Parameter(np.ones(2))
    module.child = nn.ReLU()
    module.plain = minicnn.Tensor(np.ones(3))
    module.number = 3
    assert [name for name, _ in module.named_parameters()] == ["weight"]
    assert [name for name, _ in module.named_children()] == ["child"]
    assert list(module.buffers()) == []
    assert module.number == 3


def test_a_name_has_one_role_at_a_time():
    module = nn.Module()
    module.thing = nn.Parameter(np.ones(2))
    module.thing = nn.ReLU()
    assert list(module.parameters()) == []
    assert [name for name, _ in module.named_children()] == ["thing"]
    module.number = 1
    module.number = nn.Parameter(np.ones(1))
    assert "number" not in module.__dict__ and len(list(module.parameters())) == 1


def test_reassigning_keeps_the_order():
    module = nn.Module()
    module.a = nn.Parameter(np.ones(1))
    module.b = nn.Parameter(np.ones(1))
    module.a = nn.Parameter(np.zeros(1))
    assert list(module.state_dict()) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("weight", minicnn.Tensor(np.ones(2)), "a Parameter"),
        ("child", 3, "a Module"),
        ("buffer", 3, "a Tensor"),
    ],
)
def test_a_registered_name_takes_only_its_kind_or_none(name, value, expected):
    module = nn.Module()
    module.weight = nn.Parameter(np.ones(2))
    module.child = nn.ReLU()
    module.register_buffer("buffer", minicnn.Tensor(np.ones(2)))
    with pytest.raises(TypeError, match=f"'{name}' holds {expected}"):
        setattr(module, name, value)
    setattr(module, name, None)
    assert getattr(module, name) is None
    assert name not in module.state_dict()


def test_register_functions_check_name_and_kind():
    module = nn.Module()
    with pytest.raises(KeyError, match="no dot"):
        module.register_buffer("a.b", minicnn.Tensor(np.ones(1)))
    with pytest.raises(KeyError, match="not empty"):
        module.add_module("", nn.ReLU())
    with pytest.raises(KeyError, match="has an attribute 'train' already"):
        module.register_parameter("train", nn.Parameter(np.ones(1)))
    with pytest.raises(TypeError, match="expected a Module or None as 'x', got int"):
        module.register_module("x", 3)
    with pytest.raises(TypeError, match="expected a string as name"):
        module.register_buffer(3, None)


def test_delattr_forgets():
    net = Net()
    del net.fc, net.conv1.bias
    assert not hasattr(net, "fc") and not hasattr(net.conv1, "bias")
    assert "fc.weight" not in net.state_dict()
    net.note = 1
    del net.note
    assert not hasattr(net, "note")


def test_dir_lists_what_is_registered():
    net = Net()
    assert {"conv1", "fc", "parameters", "training"} <= set(dir(net))
    assert "running_mean" in dir(nn.BatchNorm2d(2))
    assert "0" not in dir(net.layer1)


def test_a_typo_is_told_the_nearest_name():
    net = Net()
    with pytest.raises(AttributeError) as caught:
        net.layr1  # noqa: B018
    assert str(caught.value) == "'Net' object has no attribute 'layr1'. Did you mean 'layer1'?"
    with pytest.raises(AttributeError, match="Did you mean 'state_dict'"):
        net.state_dct()
    with pytest.raises(AttributeError, match="Did you mean 'register_forward_hook'"):  # and nothing private
        net.forward_hooks  # noqa: B018
    with pytest.raises(AttributeError, match="Did you mean '_modules'"):
        net._modles  # noqa: B018
    with pytest.raises(AttributeError, match="Did you mean 'running_mean'"):
        nn.BatchNorm2d(2).runing_mean  # noqa: B018
    with pytest.raises(AttributeError) as caught:
        net.xyzzy  # noqa: B018
    assert str(caught.value) == "'Net' object has no attribute 'xyzzy'"


def test_the_error_of_a_typo_pickles():
    with pytest.raises(AttributeError) as caught:
        Net().layr1  # noqa: B018
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, AttributeError) and str(again) == str(caught.value)


def test_a_property_that_fails_shows_its_own_error():
    class Broken(nn.Module):
        @property
        def size(self):
            return self.no_such_thing

    with pytest.raises(AttributeError, match="no_such_thing"):
        Broken().size  # noqa: B018


class Forgetful(nn.Module):
    def __init__(self, value: object) -> None:
        self.value = value


@pytest.mark.parametrize("value", [nn.ReLU(), nn.Parameter(np.ones(1))])
def test_forgetting_super_init_is_named_when_assigning(value):
    with pytest.raises(AttributeError, match=r"Forgetful.__init__\(\) must call super\(\).__init__\(\)"):
        Forgetful(value)


@pytest.mark.parametrize(
    "use", [lambda m: m(1), lambda m: list(m.parameters()), repr, lambda m: m.anything, lambda m: m.train()]
)
def test_forgetting_super_init_is_named_when_used(use):
    module = Forgetful(3)
    assert module.value == 3
    with pytest.raises(AttributeError, match=r"Forgetful.__init__\(\) must call super\(\).__init__\(\)"):
        use(module)


# ----------------------------------------------------------------------------------------------------- walking


def test_named_modules_depth_first():
    assert [name for name, _ in Net().named_modules()] == [
        "",
        "conv1",
        "layer1",
        *(f"layer1.{i}{rest}" for i in (0, 1) for rest in ("", ".conv1", ".bn1", ".relu")),
        "layer2",
        "layer2.0",
        "layer2.1",
        "avgpool",
        "fc",
    ]


def test_prefix_and_recurse():
    net = Net()
    assert [name for name, _ in net.named_parameters("net", recurse=False)] == []
    assert [name for name, _ in net.fc.named_parameters("fc", recurse=False)] == ["fc.weight", "fc.bias"]
    assert next(net.named_buffers("net"))[0] == "net.layer1.0.bn1.running_mean"
    assert len(list(net.buffers())) == 6
    assert len(list(net.children())) == 5
    assert len(list(net.modules())) == 16


def test_shared_modules_and_parameters_are_yielded_once():
    shared = nn.Linear(2, 2)
    tied = nn.Linear(2, 2, bias=False)
    tied.weight = shared.weight
    net = nn.Sequential(shared, shared, tied)
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias"]
    assert [name for name, _ in net.named_children()] == ["0", "2"]
    assert [name for name, _ in net.named_modules()] == ["", "0", "2"]
    assert [name for name, _ in net.named_modules(remove_duplicate=False)] == ["", "0", "1", "2"]
    assert [name for name, _ in net.named_parameters(remove_duplicate=False)] == [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
        "2.weight",
    ]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight"]


def test_get_submodule_parameter_and_buffer():
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_submodule("layer1.1.bn1") is net.layer1[1].bn1
    assert net.get_parameter("layer1.1.bn1.weight") is net.layer1[1].bn1.weight
    assert net.get_buffer("layer1.1.bn1.running_var") is net.layer1[1].bn1.running_var
    with pytest.raises(AttributeError, match="Did you mean 'layer1'"):
        net.get_submodule("layr1.0")
    with pytest.raises(AttributeError, match="not a Module"):
        net.get_submodule("fc.weight")
    with pytest.raises(AttributeError, match="not a Parameter"):
        net.get_parameter("layer1.0.bn1.running_var")
    with pytest.raises(AttributeError, match="not a Tensor"):
        net.get_buffer("fc.weight")


def test_apply_visits_children_first_and_the_module_last():
    names = []
    net = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU(), nn.Tanh()))
    assert net.apply(lambda module: names.append(type(module).__name__)) is net
    assert names == ["Linear", "ReLU", "Tanh", "Sequential", "Sequential"]


def test_train_and_eval_reach_every_module():
    net = Net()
    assert net.training
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())
    with pytest.raises(ValueError, match="expected True or False"):
        net.train("yes")


def test_a_module_may_stay_in_evaluation():
    class Frozen(nn.BatchNorm2d):
        def train(self, mode=True):
            return super().train(False)

    net = nn.Sequential(nn.Sequential(Frozen(2)), nn.ReLU()).train()
    assert not net[0][0].training and net[1].training


def test_freezing():
    net = Net()
    assert net.layer1.requires_grad_(False) is net.layer1
    net(images(2, 3, 6, 6)).sum().backward()
    for name, parameter in net.named_parameters():
        assert (parameter.grad is None) == name.startswith("layer1."), name
    net.requires_grad_()
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_zero_grad():
    layer = nn.Linear(2, 1)
    layer(images(3, 2)).sum().backward()
    layer.zero_grad(set_to_none=False)
    assert np.array_equal(layer.weight.grad.numpy(), np.zeros((1, 2)))
    layer.zero_grad()
    assert layer.weight.grad is None


def test_to_converts_floats_and_keeps_the_parameter_objects():
    net = Net()
    before = dict(net.named_parameters())
    net(images(2, 3, 6, 6)).sum().backward()
    assert net.double() is net
    assert all(parameter is before[name] for name, parameter in net.named_parameters())
    assert {str(p.dtype) for p in net.parameters()} == {"float64"}
    assert {str(p.grad.dtype) for p in net.parameters()} == {"float64"}
    bn = net.layer1[0].bn1
    assert str(bn.running_mean.dtype) == "float64" and str(bn.num_batches_tracked.dtype) == "int64"
    assert str(net(images(2, 3, 6, 6).double()).dtype) == "float64"
    net.float()
    assert str(bn.running_mean.dtype) == "float32"
    net.to("cpu", minicnn.float64)
    assert str(net.fc.weight.dtype) == "float64"
    net.to(images(1))
    assert str(net.fc.weight.dtype) == "float32"
    with pytest.raises(TypeError, match="floating-point"):
        net.to(minicnn.int64)
    assert net.cpu() is net and str(net.fc.weight.device) == "cpu"


def test_to_converts_a_buffer_under_each_of_its_names():
    module = nn.Module()
    module.register_buffer("a", minicnn.Tensor(np.ones(1, np.float32)))
    module.register_buffer("b", module.a)
    module.double()
    assert str(module.a.dtype) == str(module.b.dtype) == "float64"


def test_a_conversion_that_changes_nothing_leaves_pending_backwards_watchful():
    layer = nn.Linear(2, 2)
    out = layer(minicnn.Tensor(np.ones((1, 2), np.float32), requires_grad=True)).sum()
    layer.float()
    nn.init.zeros_(layer.weight)
    with pytest.raises(RuntimeError, match="overwritten"):
        out.backward()


def test_a_converted_parameter_still_trains():
    layer = nn.Linear(2, 1).double()
    layer(images(3, 2).double()).sum().backward()
    assert str(layer.weight.grad.dtype) == "float64"


# ------------------------------------------------------------------------------------------------------- state


def test_state_dict_is_detached_and_shares_memory():
    net = Net()
    state = net.state_dict()
    assert isinstance(state, OrderedDict)
    assert not any(tensor.requires_grad for tensor in state.values())
    state["fc.bias"].array[:] = 7
    assert np.all(net.fc.bias.detach().numpy() == 7)
    assert net.state_dict(keep_vars=True)["fc.bias"] is net.fc.bias
    assert list(net.fc.state_dict(prefix="fc.")) == ["fc.weight", "fc.bias"]


def test_buffers_that_are_not_persistent_stay_out_of_the_state():
    module = nn.Module()
    module.register_buffer("kept", minicnn.Tensor(np.ones(1)))
    module.register_buffer("scratch", minicnn.Tensor(np.ones(1)), persistent=False)
    assert list(module.state_dict()) == ["kept"]
    assert [name for name, _ in module.named_buffers()] == ["kept", "scratch"]
    module.register_buffer("scratch", minicnn.Tensor(np.ones(1)))
    assert list(module.state_dict()) == ["kept", "scratch"]


def test_what_replaces_a_scratch_buffer_is_saved():
    module = nn.Module()
    for name in ("assigned", "deleted"):
        module.register_buffer(name, minicnn.Tensor(np.ones(1)), persistent=False)
    module.assigned = nn.Parameter(np.ones(1))
    del module.deleted
    module.register_parameter("deleted", nn.Parameter(np.ones(1)))
    assert list(module.state_dict()) == ["assigned", "deleted"]


def test_deepcopy_and_pickle():
    net = Net()
    net.layer1.requires_grad_(False)
    log = []
    net.fc.register_forward_hook(lambda module, args, output: log.append(module))
    copied = copy.deepcopy(net)
    net.fc._forward_hooks.clear()
    pickled = pickle.loads(pickle.dumps(net.eval()))
    x = images(2, 3, 6, 6)
    for other in (copied.eval(), pickled):
        assert np.array_equal(other(x).detach().numpy(), net(x).detach().numpy())
        assert isinstance(other.fc.weight, nn.Parameter) and other.fc.weight is not net.fc.weight
        assert not np.shares_memory(other.fc.weight.array, net.fc.weight.array)
        assert [p.requires_grad for p in other.parameters()] == [p.requires_grad for p in net.parameters()]
        assert not other.training
    assert log == [copied.fc]


def test_deepcopy_keeps_sharing():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    copied = copy.deepcopy(net)
    assert copied[1].weight is copied[0].weight is not net[0].weight


# ----------------------------------------------------------------------------------------------------- calling


def test_a_module_without_forward():
    with pytest.raises(NotImplementedError, match="defines no forward"):
        nn.Module()(1)
    with pytest.raises(NotImplementedError, match="ModuleList defines no forward"):
        nn.ModuleList()(1)


def test_hooks_run_in_order_and_may_replace():
    log = []
    layer = nn.Identity()
    layer.register_forward_pre_hook(lambda module, args: log.append(("pre", args)))
    layer.register_forward_pre_hook(lambda module, args: args[0] + 1)
    layer.register_forward_pre_hook(lambda module, args: (args[0] * 10,))
    layer.register_forward_hook(lambda module, args, output: log.append(("post", args, output)))
    layer.register_forward_hook(lambda module, args, output: output + 1)
    layer.register_forward_hook(lambda module, args, output: output * 2)
    assert layer(3) == (40 + 1) * 2
    assert log == [("pre", (3,)), ("post", (40,), 40)]


def test_a_removed_hook_is_gone():
    log = []
    layer = nn.Identity()
    first = layer.register_forward_hook(lambda *_: log.append("first"))
    layer.register_forward_hook(lambda *_: log.append("second"))
    before = layer.register_forward_pre_hook(lambda *_: log.append("before"))
    layer(1)
    first.remove()
    first.remove()
    before.remove()
    layer(1)
    assert log == ["before", "first", "second", "second"]
    with layer.register_forward_hook(lambda *_: log.append("third")):
        layer(1)
    layer(1)
    assert log[4:] == ["second", "third", "second"]


def test_a_hook_may_remove_itself_while_it_runs():
    layer = nn.Identity()
    log = []

    def once(module, args, output):
        handle.remove()
        log.append("once")

    handle = layer.register_forward_hook(once)
    layer.register_forward_hook(lambda *_: log.append("always"))
    layer(1)
    layer(1)
    assert log == ["once", "always", "always"]


def test_hooks_see_keyword_calls():
    class Add(nn.Module):
        def forward(self, x, *, y):
            return x + y

    seen = []
    module = Add()
    module.register_forward_hook(lambda module, args, output: seen.append((args, output)))
    assert module(1, y=2) == 3
    assert seen == [((1,), 3)]


def test_a_wrong_shape_names_the_module_and_where_its_input_came_from():
    net = Net()
    net.layer2[0] = nn.Conv2d(6, 8, 1)
    with pytest.raises(ShapeError) as caught:
        net(images(2, 3, 6, 6))
    message = str(caught.value)
    assert message.startswith("Net.layer2.0: ")
    assert message.endswith("(from layer1.1, shape (2, 4, 6, 6))")
    assert "6" in message.split("(from")[0] and "4" in message.split("(from")[0]


def test_the_innermost_module_locates_the_error():
    net = nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(3, 2))))
    with pytest.raises(ShapeError, match=r"^Sequential\.0\.0\.0: ") as caught:
        net(images(1, 4))
    assert str(caught.value).count("Sequential") == 1
    assert "from" not in str(caught.value)  # the input came from no module


def test_an_error_in_a_composite_forward_names_the_composite():
    net = nn.Sequential(Block(4))
    net[0].conv1 = nn.Conv2d(4, 4, 3, bias=False)
    with pytest.raises(ShapeError, match=r"^Sequential\.0: "):
        net(images(1, 4, 6, 6))


def test_an_error_without_a_tensor_to_describe():
    class Raises(nn.Module):
        def forward(self, size):
            return minicnn.zeros(2, 3).reshape(size)

    with pytest.raises(ShapeError, match=r"^Sequential\.0: reshape: .* the shape \(7,\)$"):
        nn.Sequential(Raises())(7)


def test_a_module_from_elsewhere_is_named_by_its_class():
    outside = nn.Linear(2, 4)
    with pytest.raises(ShapeError, match=r"\(from Linear"):
        nn.Sequential(nn.Linear(3, 3))(outside(images(1, 2)))


def test_the_stack_of_running_modules_is_empty_after_an_error():
    net = Net()
    with pytest.raises(ShapeError):
        net(images(2, 5, 6, 6))
    assert scope.stack() == [] and scope.path() == ""


def test_outputs_in_tuples_and_dictionaries_are_traced():
    class Two(nn.Module):
        def forward(self, x):
            return {"a": (x * 1, [x * 2])}

    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.two = Two()
            self.fc = nn.Linear(9, 9)

        def forward(self, x):
            return self.fc(self.two(x)["a"][1][0])

    with pytest.raises(ShapeError, match=r"^Wrong\.fc: .*\(from two"):
        Wrong()(images(1, 2))


def test_an_output_does_not_keep_its_module_alive():
    gc.disable()
    try:
        net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        with minicnn.no_grad():
            output = net(images(1, 2))
        net[0].kept = output  # a module that keeps a feature map
        module, tensor = weakref.ref(net[0]), weakref.ref(output)
        del net, output
        assert module() is None and tensor() is None
    finally:
        gc.enable()


def test_anomaly_detection_names_the_module():
    net = Net()
    net.layer2[0].bias.array[:] = np.nan
    with minicnn.detect_anomaly(), pytest.raises(RuntimeError, match=r"NaN .* in Net\.layer2\.0"):
        net(images(1, 3, 6, 6))


def test_errors_of_other_kinds_pass_unchanged():
    class Raises(nn.Module):
        def forward(self, x):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="^'mine'$"):
        nn.Sequential(Raises())(1)


# ---------------------------------------------------------------------------------------------- beside PyTorch


def small_net(nn):
    """The same network from either library's ``nn``."""
    block = nn.Sequential(
        OrderedDict(
            [
                ("conv", nn.Conv2d(8, 8, (3, 1), padding=(1, 0), groups=2, bias=False)),
                ("bn", nn.BatchNorm2d(8, momentum=None)),
                ("act", nn.ReLU(inplace=True)),
            ]
        )
    )
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2, padding="valid", dilation=2),
        nn.ModuleList([block, nn.ModuleDict({"pool": nn.MaxPool2d(2), "gn": nn.GroupNorm(2, 8)})]),
        nn.ModuleList([nn.Linear(2, 2, bias=False), nn.ReLU(), nn.ReLU(), nn.Tanh()]),
        nn.ModuleList([nn.Sequential(nn.Tanh(), nn.BatchNorm2d(2, affine=False))] * 2),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.Sequential(),
        nn.Linear(8, 10),
    )


def test_state_dict_equals_pytorch_in_keys_order_and_shapes():
    torch = peers.torch()
    ours, theirs = small_net(nn).state_dict(), small_net(torch.nn).state_dict()
    assert [(key, tuple(t.shape), str(t.dtype)) for key, t in ours.items()] == [
        (key, tuple(t.shape), str(t.dtype).removeprefix("torch.")) for key, t in theirs.items()
    ]


def test_repr_equals_pytorch():
    torch = peers.torch()
    ours = repr(small_net(nn))
    if "bias" not in inspect.signature(torch.nn.BatchNorm2d).parameters:  # shown only since it is an argument
        ours = ours.replace("affine=True, bias=True", "affine=True").replace("False, bias=False", "False")
    assert ours == repr(small_net(torch.nn))


def test_a_pytorch_state_dict_loads():
    torch = peers.torch()
    theirs, ours = small_net(torch.nn), small_net(nn)
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    for key, tensor in theirs.state_dict().items():
        assert np.array_equal(ours.state_dict()[key].numpy(), tensor.numpy()), key
