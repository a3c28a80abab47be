"""The whole dictionary: of networks of the list, of one's own, and of those that go wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.data import imagenet_labels
from minicnn.errors import ShapeError
from minicnn.explore import explore, look
from minicnn.models import create_model
from minicnn.nn.functional import cross_entropy
from minicnn.nn.summary import summary
from minicnn.tensors import Tensor

from .networks import Branches, InPlace, Twice

KEYS = "title origin class variant command input totals prediction cam modules nodes output convolution notes"
NODE = (
    "id module kind label inputs shape parameters multiply_adds bytes field stride gradient line maps values filters "
    "looks"
)


def image(side: int = 8, channels: int = 3) -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal((channels, side, side)).astype(np.float32))


def looked(model: nn.Module, x: Tensor, **options: Any) -> dict[str, Any]:
    """``look``, with what holds for every network."""
    data = look(model, x, **options)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert " ".join(data) == KEYS
    assert all(" ".join(node) == NODE for node in data["nodes"])
    assert [node["id"] for node in data["nodes"]] == list(range(len(data["nodes"])))
    paths = {module["path"] for module in data["modules"]}
    assert {node["module"] for node in data["nodes"]} <= paths
    assert {module["parent"] for module in data["modules"]} <= paths | {None}
    return data


@pytest.mark.parametrize(
    ("name", "channels", "side"), [("resnet20", 1, 8), ("googlenet", 3, 64), ("deformable_resnet18", 3, 64)]
)
def test_networks_of_the_list(name: str, channels: int, side: int) -> None:
    minicnn.manual_seed(0)
    model = create_model(name, in_channels=channels)
    x = image(side, channels)
    seen: list[tuple[str, int, int]] = []
    data = looked(model, x, watch=lambda *step: seen.append(step))
    total = summary(model, (channels, side, side))
    assert data["totals"] == {
        "parameters": total.parameters,
        "multiply_adds": total.multiply_adds,
        "activation_bytes": sum(node["bytes"] for node in data["nodes"]),
    }
    assert data["totals"]["activation_bytes"] >= total.activation_bytes
    model.eval()
    scores = model(x[None]).detach().numpy()[0]
    assert [guess["index"] for guess in data["prediction"]] == np.argsort(-scores, kind="stable")[:5].tolist()
    assert data["nodes"][data["output"]]["shape"] == [len(scores)]
    assert all(node["gradient"] is not None and node["gradient"] >= 0 for node in data["nodes"])
    assert len(data["cam"]["classes"]) == 5 and data["cam"]["classes"][0]["index"] == scores.argmax()
    looks = [node for node in data["nodes"] if node["looks"]]
    assert len(looks) >= 3
    assert all(0 < node["looks"]["effective"] <= min(side, node["field"][0]) + 1e-9 for node in looks)
    assert not data["notes"]
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert seen[-1][1] <= seen[-1][2]


def test_the_loss_is_of_the_class_that_is_asked_for() -> None:
    model, x = Branches(), image()
    for target in (0, 4):
        node = looked(model, x, target=target)["nodes"][10]
        model.eval()
        out = model(x[None])
        flat = out.grad_fn.edges[0]
        assert node["kind"] == "Flatten" and flat is not None
        probabilities = np.exp(out.detach().numpy()[0]) / np.exp(out.detach().numpy()).sum()
        slopes = (probabilities - np.eye(5)[target]) @ model.head.weight.detach().numpy()
        assert node["gradient"] == pytest.approx(np.sqrt((slopes**2).mean()), rel=1e-3)
        assert cross_entropy(out, Tensor(np.array([target]))).item() > 0


def test_labels_name_the_values_of_the_output_and_the_chosen_class_is_among_the_maps() -> None:
    names = ["a", "b", "c", "d", "e</script>"]
    data = looked(Branches(), image(), labels=names, target="c")
    assert {label for label, _ in data["nodes"][data["output"]]["values"]} == set(names)
    assert "c" in [entry["label"] for entry in data["cam"]["classes"]]
    many = looked(create_model("resnet18", num_classes=1000), image(32), labels=imagenet_labels(), target="daisy")
    assert many["cam"]["classes"][-1] == many["cam"]["classes"][5] and many["cam"]["classes"][5]["label"] == "daisy"


def test_the_maps_of_what_is_overwritten_later_are_those_before() -> None:
    model, x = InPlace(), image()
    nodes = looked(model, x)["nodes"]
    before = model.conv(x[None]).detach().numpy()
    assert nodes[0]["maps"]["low"] == pytest.approx(before.min(), rel=1e-4)
    assert nodes[1]["maps"]["low"] >= 0 and nodes[2]["maps"]["high"] == 5


def test_a_network_that_is_no_classifier() -> None:
    data = looked(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), image())
    assert (data["prediction"], data["cam"], data["convolution"]["node"]) == ([], None, 0)
    assert data["nodes"][1]["gradient"] == pytest.approx(1)
    with pytest.raises(ValueError, match="no class 3"):
        look(nn.Conv2d(3, 4, 3), image(), target=3)


def test_numbers_that_are_not_finite_are_told() -> None:
    model = Twice()
    with minicnn.no_grad():
        model.conv.bias[1] = float("nan")
    data = looked(model, image())
    assert data["prediction"] == [] and data["cam"] is None
    assert any("activations are not finite, first in conv (conv 3x3, 3)" in note for note in data["notes"])
    assert any("what the network returns is not finite" in note for note in data["notes"])
    assert all(node["gradient"] is None for node in data["nodes"])


def test_a_forward_that_depends_on_numbers_has_no_costs() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            if abs(x.sum().item()) > 0:
                x = x.sigmoid()
            return self.fc(x.mean((2, 3)))

    data = looked(Net(), image())
    assert [node["kind"] for node in data["nodes"]] == ["Conv2d", "Sum", "Sigmoid", "Mean", "Linear"]
    assert data["cam"]["node"] == 2
    assert data["totals"]["multiply_adds"] == 0 and len(data["notes"]) == 1 and "costs are unknown" in data["notes"][0]


def test_grad_cam_when_more_than_the_scores_is_returned() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.conv(x)
            return self.fc(x.mean((2, 3))), x.relu()

    minicnn.manual_seed(0)
    cam = looked(Net(), image())["cam"]
    assert cam["node"] == 0 and any(found["peak"] > 0 for found in cam["classes"])


class Around(nn.Module):
    """A convolution and a classifier; ``between`` says what is done between them."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        minicnn.manual_seed(0)
        self.conv, self.fc, self.between = nn.Conv2d(3, 4, 3), nn.Linear(4, 2), between

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.between(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize("between", [lambda x: x.detach(), lambda x: (x > 0).to(x.dtype)], ids=["detach", "mask"])
def test_maps_that_are_beside_the_tape(between: Callable[[Tensor], Tensor]) -> None:
    data = looked(Around(between), image())
    assert len(data["cam"]["classes"]) == 2 and not data["notes"]


def test_a_backbone_without_a_tape() -> None:
    class Net(Around):
        def forward(self, x: Tensor) -> Tensor:
            with minicnn.no_grad():
                x = self.conv(x).relu()
            return self.fc(x.mean((2, 3)))

    data = looked(Net(lambda x: x), image())
    assert [found["peak"] for found in data["cam"]["classes"]] == [0, 0]
    assert [node["gradient"] for node in data["nodes"]] == [None] * 4


def test_heads_in_front_are_no_maps() -> None:
    def attention(x: Tensor) -> Tensor:
        heads = x.reshape(2, 2, 36).transpose(1, 2)  # (heads, T, d)
        return x + heads.transpose(1, 2).reshape(1, 4, 6, 6)

    data = looked(Around(attention), image())
    assert (2, 36, 2) in [tuple(node["shape"]) for node in data["nodes"]]
    assert all(len(node["shape"]) == 3 and node["shape"][0] == 4 for node in data["nodes"] if node["looks"])


@pytest.mark.filterwarnings("error")
def test_gradients_that_are_not_finite() -> None:
    """The root has an infinite slope at 0, and 0 times infinity is NaN."""
    model = Around(lambda x: (x.mean((2, 3), keepdim=True) * 0).sqrt())
    data = looked(model, image(), labels=["cat", "dog"])
    assert len(data["prediction"]) == 2 and data["cam"] is None
    assert any(note.startswith("which places speak for") and "cat" in note for note in data["notes"])


def test_a_network_that_returns_the_image() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x.relu()
            return x

    with pytest.raises(ValueError, match="returns the image"):
        look(Net(), image())


def test_outputs_of_other_shapes_and_kinds() -> None:
    """Truth values, whole numbers, single numbers, nothing at all, a batch that is not in front."""

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            mask = x > 0
            turned = x.permute(2, 3, 1, 0)
            return (mask * x).sum() + turned[:0].sum() + x.argmax() * 0 + turned.mean()

    nodes = looked(Net(), image())["nodes"]
    assert [tuple(node["shape"]) for node in nodes][:2] == [(3, 8, 8), (8, 8, 3, 1)]
    assert nodes[0]["maps"]["low"] == 0 and nodes[0]["maps"]["high"] == 1


def test_a_compiled_model_is_looked_into() -> None:
    model = Branches().eval()
    assert looked(minicnn.compile(model), image()) == looked(model, image())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (minicnn.ones(2, 3, 8, 8), ValueError, "expected one image"),
        (minicnn.ones(8, 8), ValueError, "expected one image"),
        (np.ones((3, 8, 8)), TypeError, "expected a Tensor"),
        (minicnn.ones(4, 8, 8), ShapeError, "3 input channels"),
    ],
)
def test_images_that_do_not_fit(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        look(Twice(), x)


def test_float64_and_a_batch_of_one() -> None:
    model, x = Twice().double(), image()
    assert looked(model, x) == looked(model, x[None])


def test_the_page_is_written(tmp_path: Any) -> None:
    path = explore(Twice(), image(), tmp_path / "folder" / "mine.html", title="a & b")
    text = path.read_text(encoding="utf-8")
    assert "<title>" in text and "a &amp; b" in text and '"nodes":[' in text
