"""Modules that hold modules: in a row, in a list, in a dictionary."""

from __future__ import annotations

from collections import OrderedDict

import pytest

from minicnn import nn


class Recorder(nn.Module):
    """Passes its input on and writes its name into a list."""

    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__()
        self.name = name
        self.log = log

    def forward(self, x):
        self.log.append(self.name)
        return x


def test_sequential_runs_in_order():
    log = []
    net = nn.Sequential(Recorder("a", log), nn.Sequential(Recorder("b", log)), Recorder("c", log))
    assert net(5) == 5 and log == ["a", "b", "c"]
    assert nn.Sequential()(5) == 5


def test_sequential_indexing():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    net = nn.Sequential(a, b, c)
    assert net[0] is a and net[-1] is c and net[-3] is a and len(net) == 3 and list(net) == [a, b, c]
    tail = net[1:]
    assert type(tail) is nn.Sequential and list(tail) == [b, c]
    assert [name for name, _ in tail.named_children()] == ["1", "2"]
    assert list(tail.append(a)) == [b, c, a]
    with pytest.raises(IndexError, match="index 3 is out of range: this Sequential has 3 modules"):
        net[3]
    with pytest.raises(IndexError):
        net[-4]


def test_sequential_is_changed_like_a_list():
    a, b, c, d = nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.SiLU()
    net = nn.Sequential(a)
    assert net.append(c).insert(1, b) is net
    net.extend([d])
    assert list(net) == [a, b, c, d] and [n for n, _ in net.named_children()] == ["0", "1", "2", "3"]
    del net[0]
    assert list(net) == [b, c, d] and [n for n, _ in net.named_children()] == ["0", "1", "2"]
    net[-1] = a
    assert list(net) == [b, c, a]
    assert net.pop() is a and net.pop(0) is b and list(net) == [c]
    net[0] = b
    assert list(net + nn.Sequential(c)) == [b, c]
    net += [d]
    assert list(net) == [b, d]
    del net[:]
    assert len(net) == 0
    for wrong in (lambda: net.append(3), lambda: nn.Sequential("x"), lambda: net.insert(0, None)):
        with pytest.raises(TypeError, match="expected a Module"):
            wrong()
    with pytest.raises(IndexError, match="out of range"):
        net.insert(2, a)
    with pytest.raises(IndexError, match="out of range"):
        del net[0]


def test_sequential_with_names():
    net = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 1), relu=nn.ReLU()))
    assert net.conv is net[0] and list(net.state_dict()) == ["conv.weight", "conv.bias"]
    net.insert(1, nn.Tanh())
    assert [name for name, _ in net.named_children()] == ["conv", "1", "relu"]


def test_a_slice_is_of_the_subclass_only_where_its_constructor_allows():
    class ConvReLU(nn.Sequential):
        def __init__(self, channels):
            super().__init__(nn.Conv2d(channels, channels, 1), nn.ReLU())

    class Copies(nn.ModuleList):
        def __init__(self, count):
            super().__init__(nn.ReLU() for _ in range(count))

    class Stage(nn.Sequential):
        pass

    class Branches(nn.ModuleList):
        pass

    assert type(ConvReLU(3)[:1]) is nn.Sequential
    assert type(Copies(3)[:1]) is nn.ModuleList
    assert type(Stage(nn.ReLU())[:1]) is Stage
    assert type(Branches([nn.ReLU()])[:1]) is Branches


def test_module_list():
    layers = nn.ModuleList(nn.Linear(i, i) for i in (1, 2, 3))
    assert [layer.in_features for layer in layers] == [1, 2, 3]
    assert isinstance(layers[1:], nn.ModuleList) and layers[1:][0] is layers[1]
    assert [name for name, _ in layers[1:].named_children()] == ["0", "1"]
    del layers[0]
    assert list(layers.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_module_dict():
    modules = nn.ModuleDict({"conv": nn.Conv2d(1, 1, 1)})
    modules["act"] = nn.ReLU()
    modules.update([("fc", nn.Linear(1, 1))])
    modules.update(nn.ModuleDict({"last": nn.Tanh()}))
    assert list(modules) == list(modules.keys()) == ["conv", "act", "fc", "last"]
    assert [type(m).__name__ for m in modules.values()] == ["Conv2d", "ReLU", "Linear", "Tanh"]
    assert dict(modules.items())["fc"] is modules["fc"] is modules.fc
    assert "act" in modules and len(modules) == 4
    assert isinstance(modules.pop("act"), nn.ReLU) and "act" not in modules
    del modules["last"]
    assert list(modules.state_dict()) == ["conv.weight", "conv.bias", "fc.weight", "fc.bias"]
    modules.clear()
    assert len(modules) == 0
    with pytest.raises(KeyError, match="already"):
        modules["train"] = nn.ReLU()
