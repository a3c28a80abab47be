"""GoogLeNet beside its paper: Table 1 row by row, the auxiliary classifiers, and the same numbers as torchvision's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn import models, nn
from minicnn.errors import ShapeError
from minicnn.models.googlenet import (
    FILTERS,
    MULTIPLY_ADDS,
    PARAMETERS,
    SMALLEST_INPUT,
    TABLE_1,
    VARIANTS,
    GoogLeNet,
    GoogLeNetOutputs,
    Inception,
    InceptionAux,
    NaiveInception,
    Row,
    _pool,
    auxiliary_loss,
    renormalise,
)
from minicnn.nn import functional as F
from tests.library.support import peers
from tests.library.support.model_checks import (
    GRADIENTS_FLOAT64,
    LOGITS_FLOAT32,
    Walk,
    calibrated,
    drawn,
    evaluation_error,
    from_pth,
    images,
    labels,
    losses_on_digits,
    training_errors,
    walk,
    without_gradient,
)


def undrawn(**options: Any) -> nn.Module:
    return models.create_model("googlenet", init=False, **options)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture(scope="module")
def paper() -> tuple[nn.Module, Walk]:
    """The paper's network, and what a 224 x 224 image meets in it."""
    model = undrawn()
    return model, walk(model, (1, 3, 224, 224))


# ------------------------------------------------------------ the paper's Table 1


def costs(model: nn.Module, found: Walk, paths: tuple[str, ...]) -> tuple[int, int]:
    """The weights of the convolutions and linear layers below ``paths``, and their multiply-adds."""
    weights = multiply_adds = 0
    for path, module in model.named_modules():
        if path.split(".")[0] in paths and isinstance(module, (nn.Conv2d, nn.Linear)):
            pixels = int(np.prod(found.shapes[path][2:]))
            weights += module.weight.numel()
            multiply_adds += module.weight.numel() * pixels
    return weights, multiply_adds


@pytest.mark.parametrize("row", TABLE_1, ids=lambda row: "+".join(row.here))
def test_table_1(row: Row, paper: tuple[nn.Module, Walk]) -> None:
    """Outputs, filters, weights and multiply-adds."""
    model, found = paper
    channels, side = row.output
    shape = (1, channels) if row.here == ("fc",) else (1, channels, side, side)
    assert found.shapes[row.here[-1]] == shape
    assert costs(model, found, row.here) == (row.weights, row.multiply_adds)
    if row.filters is not None:
        module = model.get_submodule(row.here[0])
        convs = [conv for conv in module.modules() if isinstance(conv, nn.Conv2d)]
        assert tuple(conv.out_channels for conv in convs) == row.filters
        assert [conv.kernel_size[0] for conv in convs] == [1, 1, 3, 1, 5, 1]


def test_the_papers_cost_columns() -> None:
    """Which of the published numbers are the layers' own, rounded; and by how much the others are off."""
    priced = {"+".join(row.here): row for row in TABLE_1 if row.paper_ops is not None}
    operations = {name: round(row.multiply_adds / 1e6) for name, row in priced.items()}
    assert {
        name: (operations[name], row.paper_ops) for name, row in priced.items() if operations[name] != row.paper_ops
    } == {
        "conv1": (118, 34),
        "inception4a": (74, 73),
        "inception5a": (51, 54),
    }
    # Weights in units of 1024, cut off. Rounding instead mends none of them and breaks 3a.
    thousands = {name: row.weights / 1024 for name, row in priced.items()}
    assert {name for name, row in priced.items() if int(thousands[name]) == row.paper_params} == {
        "conv2+conv3",
        "inception3a",
        "fc",
    }
    off = {name: round(100 * (row.paper_params / thousands[name] - 1), 1) for name, row in priced.items()}
    assert off == {
        "conv1": -70.6,
        "conv2+conv3": 0.0,
        "inception3a": -0.3,
        "inception3b": 0.3,
        "inception4a": -0.7,
        "inception4b": -0.2,
        "inception4c": -6.9,
        "inception4d": -1.8,
        "inception4e": -0.8,
        "inception5a": 5.3,
        "inception5b": -1.5,
        "fc": 0.0,
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_totals(variant: str) -> None:
    assert parameters(undrawn(variant=variant, aux_logits=False)) == PARAMETERS[variant][0]
    assert parameters(undrawn(variant=variant)) == PARAMETERS[variant][1]
    found = walk(undrawn(variant=variant), (1, 3, 224, 224))
    assert found.multiply_adds == MULTIPLY_ADDS[variant]
    assert f"{found.multiply_adds / 1e9:.3f}" == {"paper": "1.583", "torchvision": "1.498"}[variant]


def test_22_layers(paper: tuple[nn.Module, Walk]) -> None:
    """Section 5: the network is 22 layers deep, counting those with parameters: two in each module."""
    model, _ = paper
    in_stem = sum(
        isinstance(module, nn.Conv2d)
        for name in ("conv1", "conv2", "conv3")
        for module in model.get_submodule(name).modules()
    )
    assert in_stem + 2 * len(FILTERS) + 1 == 22


def test_layers_run_in_the_order_of_figure_3(paper: tuple[nn.Module, Walk]) -> None:
    _, found = paper
    order = [name for row in TABLE_1 for name in row.here]
    order.insert(order.index("maxpool1") + 1, "norm1")
    order.insert(order.index("conv3") + 1, "norm2")
    order.insert(order.index("fc"), "dropout")
    assert [path for path in found.shapes if path and "." not in path] == order


def test_variants() -> None:
    """Norm, biases, kernels, the last max pooling, dropout."""
    kinds = {variant: [type(module) for module in undrawn(variant=variant).modules()] for variant in VARIANTS}
    assert kinds["paper"].count(nn.LocalResponseNorm) == 2 and nn.BatchNorm2d not in kinds["paper"]
    assert nn.LocalResponseNorm not in kinds["torchvision"]
    assert kinds["torchvision"].count(nn.BatchNorm2d) == kinds["torchvision"].count(nn.Conv2d) == 59
    for variant, kernel, pool, dropout in (("paper", 5, 3, 0.4), ("torchvision", 3, 2, 0.2)):
        model = undrawn(variant=variant)
        assert model.variant == variant
        assert model.inception3a.branch3[1].conv.kernel_size == (kernel, kernel)
        assert (model.inception3a.branch3[1].conv.bias is None) == (variant == "torchvision")
        assert model.maxpool4.kernel_size == pool
        assert model.dropout.p == dropout and model.aux1.dropout.p == model.aux2.dropout.p == 0.7
    assert model.conv1.bn.eps == 0.001


# ------------------------------------------------------------ the module, L2.1.1 to L2.1.3


def test_naive_module_against_the_reduced_one() -> None:
    """Module 3a without its reductions: three times the multiply-adds, and it hands more channels on."""
    filters = FILTERS["inception3a"]
    naive, reduced = NaiveInception(192, filters[0], filters[2], filters[4]), Inception(192, *filters)
    shape = (1, 192, 28, 28)
    found = {module: walk(module, shape) for module in (naive, reduced)}
    assert found[naive].multiply_adds == 192 * (64 + 9 * 128 + 25 * 32) * 28**2 == 303_464_448
    assert found[reduced].multiply_adds == 128_049_152
    assert found[naive].shapes[""] == (1, 64 + 128 + 32 + 192, 28, 28)
    assert found[reduced].shapes[""] == (1, 256, 28, 28)


@pytest.mark.parametrize("variant", VARIANTS)
def test_branches_are_concatenated_in_order(variant: str) -> None:
    minicnn.manual_seed(0)
    x = minicnn.tensor(images((2, 6, 5, 7)))
    for module in (Inception(6, 2, 3, 4, 2, 3, 5, variant), NaiveInception(6, 2, 4, 3, variant)):
        module.eval()
        with minicnn.no_grad():
            branches = [getattr(module, f"branch{i}")(x).numpy() for i in (1, 2, 3, 4)]
            np.testing.assert_array_equal(module(x).numpy(), np.concatenate(branches, axis=1))
        assert [branch.shape[1] for branch in branches] == [2, 4, 3, 5 if isinstance(module, Inception) else 6]


def test_1x1_convolution_is_one_linear_map_at_every_pixel() -> None:
    """L2.1.3."""
    conv = nn.Conv2d(6, 4, kernel_size=1)
    x = images((2, 6, 3, 5))
    with minicnn.no_grad():
        out = conv(minicnn.tensor(x)).numpy()
        weight, bias = (parameter.detach().numpy() for parameter in conv.parameters())
    expected = np.einsum("oc,nchw->nohw", weight[:, :, 0, 0], x) + bias[:, None, None]
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------ auxiliary classifiers, L2.1.5


def test_auxiliary_classifiers_are_those_of_section_5() -> None:
    aux = InceptionAux(512, 1000)
    shapes = walk(aux, (1, 512, 14, 14)).shapes
    assert shapes["conv"] == (1, 128, 4, 4)
    assert shapes["fc1"] == (1, 1024) and shapes[""] == (1, 1000)
    assert aux.conv.conv.kernel_size == (1, 1) and aux.dropout.p == 0.7
    model = undrawn(num_classes=10)
    assert [model.aux1.conv.conv.in_channels, model.aux2.conv.conv.in_channels] == [512, 528]


@pytest.mark.parametrize("side", [1, 2, 4, 13, 14, 15, 16, 17, 28])
def test_auxiliary_pooling(side: int) -> None:
    """5x5 with stride 3 wherever that gives the 4 x 4 pixels that the linear layer needs, else an adaptive grid."""
    x = minicnn.tensor(images((2, 3, side, side)))
    fixed = (side - 5) // 3 + 1 == 4
    assert fixed == (14 <= side <= 16)
    adaptive = F.adaptive_avg_pool2d(x, (4, 4)).numpy()
    expected = F.avg_pool2d(x, 5, 3).numpy() if fixed else adaptive
    np.testing.assert_array_equal(_pool(x, "paper").numpy(), expected)
    np.testing.assert_array_equal(_pool(x, "torchvision").numpy(), adaptive)


def test_images_that_the_papers_auxiliary_pooling_fits() -> None:
    """As the file says: from 223 to 270 pixels."""
    model = undrawn(num_classes=2, in_channels=1, aux_logits=False)
    for side, at_4a in ((222, 13), (223, 14), (224, 14), (270, 16), (271, 17)):
        assert walk(model, (1, 1, side, 31)).shapes["inception4a"][2] == at_4a


@pytest.mark.parametrize("variant", VARIANTS)
def test_auxiliary_classifiers_exist_only_in_training(variant: str) -> None:
    x = minicnn.tensor(images((2, 3, 32, 32)))
    model = models.create_model("googlenet", num_classes=5, variant=variant)
    outputs = model.train()(x)
    assert isinstance(outputs, GoogLeNetOutputs)
    assert outputs._fields == ("logits", "aux_logits2", "aux_logits1")
    assert [output.shape for output in outputs] == [(2, 5)] * 3
    with minicnn.no_grad():
        before = model.eval()(x)
        for name, parameter in model.named_parameters():
            if name.startswith("aux"):
                parameter.fill_(np.nan)
        np.testing.assert_array_equal(model(x).numpy(), before.numpy())

    without = models.create_model("googlenet", num_classes=5, variant=variant, aux_logits=False)
    assert without.train()(x).shape == (2, 5)
    assert not [key for key in without.state_dict() if key.startswith("aux")]


def test_dropout_stands_before_each_classifier() -> None:
    """With everything dropped, logits are the last layer's biases, which start at zero."""
    x = minicnn.tensor(images((2, 3, 32, 32)))
    for main, auxiliary in ((1.0, 0.0), (0.0, 1.0)):
        outputs = models.googlenet(num_classes=5, dropout=main, dropout_aux=auxiliary).train()(x)
        assert [bool(logits.detach().numpy().any()) for logits in outputs] == [
            main == 0,
            auxiliary == 0,
            auxiliary == 0,
        ]


def test_auxiliary_loss() -> None:
    """The main loss plus 0.3 of each other one; of evaluation's single tensor, the main loss."""
    target = minicnn.tensor(labels(3, 4))
    outputs = GoogLeNetOutputs(*(minicnn.tensor(images((3, 4), np.float64, seed)) for seed in (1, 2, 3)))
    main, two, one = (F.cross_entropy(output, target).item() for output in outputs)
    assert auxiliary_loss(outputs, target).item() == pytest.approx(main + 0.3 * two + 0.3 * one)
    assert auxiliary_loss(outputs.logits, target).item() == pytest.approx(main)
    assert auxiliary_loss(outputs, target, weight=0.5).item() == pytest.approx(main + 0.5 * two + 0.5 * one)
    smooth = nn.CrossEntropyLoss(label_smoothing=0.1)
    parts = [smooth(output, target).item() for output in outputs]
    assert auxiliary_loss(outputs, target, smooth).item() == pytest.approx(parts[0] + 0.3 * (parts[1] + parts[2]))


def test_auxiliary_classifiers_bring_gradient_into_the_lower_layers() -> None:
    """Up to 4a and 4d the gradient is the main classifier's plus 0.3 of each auxiliary one's; behind, the main's."""
    minicnn.manual_seed(0)
    model = GoogLeNet(num_classes=5, dropout=0.0, dropout_aux=0.0).double().train()
    x, target = minicnn.tensor(images((2, 3, 32, 32), np.float64)), minicnn.tensor(labels(2, 5))
    names = ["conv1", "inception3a.branch1", "inception4b.branch1", "inception4e.branch1", "inception5b.branch1"]
    weights = [model.get_submodule(name).conv.weight for name in names]

    def gradients(loss: Any) -> list[np.ndarray]:
        model.zero_grad()
        loss(model(x)).backward()
        return [np.zeros(weight.shape) if weight.grad is None else weight.grad.numpy().copy() for weight in weights]

    total = gradients(lambda outputs: auxiliary_loss(outputs, target))
    main, two, one = (gradients(lambda outputs, i=i: F.cross_entropy(outputs[i], target)) for i in range(3))
    for whole, *parts in zip(total, main, two, one, strict=True):
        expected = parts[0] + 0.3 * (parts[1] + parts[2])
        assert abs(whole - expected).max() <= 1e-12 * abs(expected).max()
    assert [bool(gradient.any()) for gradient in one] == [True, True, False, False, False]
    assert [bool(gradient.any()) for gradient in two] == [True, True, True, False, False]


# ------------------------------------------------------------ sizes and arguments


@pytest.mark.parametrize("variant", VARIANTS)
def test_smallest_input(variant: str) -> None:
    """Training included, auxiliary classifiers and all."""
    side = SMALLEST_INPUT[variant]
    model = models.create_model("googlenet", num_classes=3, in_channels=1, variant=variant)
    x = minicnn.tensor(images((2, 1, side, side + 9)))
    assert model.eval()(x).shape == (2, 3)
    assert [logits.shape for logits in model.train()(x)] == [(2, 3)] * 3
    message = f"^GoogLeNet: expected images of at least {side}x{side} pixels, got {side - 1}x{side}"
    with pytest.raises(ShapeError, match=message):
        model(minicnn.zeros(2, 1, side - 1, side))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_limit_is_not_higher_than_it_must_be(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    side = SMALLEST_INPUT[variant]
    monkeypatch.setitem(SMALLEST_INPUT, variant, 1)
    model = undrawn(num_classes=3, in_channels=1, variant=variant).eval()
    with pytest.raises(ShapeError, match=r"^GoogLeNet.maxpool\d: expected an input of at least the kernel"):
        model(minicnn.zeros(1, 1, side - 1, side - 1))


def test_arguments() -> None:
    with pytest.raises(ValueError, match="variant"):
        GoogLeNet(variant="bn")
    with pytest.raises(ValueError, match="in_channels=1"):
        GoogLeNet(transform_input=True, in_channels=1)
    model = undrawn(num_classes=7, in_channels=2, dropout=0.25, dropout_aux=0.5)
    assert model.conv1.conv.in_channels == 2
    assert model.fc.out_features == model.aux1.fc2.out_features == model.aux2.fc2.out_features == 7
    assert (model.dropout.p, model.aux1.dropout.p, model.aux2.dropout.p) == (0.25, 0.5, 0.5)


def test_initialisation() -> None:
    minicnn.manual_seed(0)
    for variant in VARIANTS:
        model = models.create_model("googlenet", variant=variant)
        for layer in (model.conv3.conv, model.inception4c.branch2[1].conv, model.aux1.fc1):
            weight = layer.weight.detach().numpy()
            assert weight.std() == pytest.approx((2 / weight[0].size) ** 0.5, rel=0.02)
        assert not any(p.detach().numpy().any() for name, p in model.named_parameters() if name.endswith("bias"))


def test_transform_input_undoes_imagenets_normalisation() -> None:
    """From (pixel - mean) / deviation to (pixel - 0.5) / 0.5, and only if asked for."""
    pixels = np.random.default_rng(0).random((2, 3, 4, 4))
    mean, std = np.array([0.485, 0.456, 0.406])[:, None, None], np.array([0.229, 0.224, 0.225])[:, None, None]
    transformed = renormalise(minicnn.tensor((pixels - mean) / std))
    np.testing.assert_allclose(transformed.numpy(), (pixels - 0.5) / 0.5, atol=1e-12)

    x = minicnn.tensor(images((1, 3, 32, 32)))
    model = models.create_model("googlenet", num_classes=2, aux_logits=False, transform_input=True).eval()
    transformed = model(x).detach().numpy()
    model.transform_input = False
    np.testing.assert_array_equal(transformed, model(renormalise(x)).detach().numpy())
    assert np.abs(transformed - model(x).detach().numpy()).max() > 1e-3


# ------------------------------------------------------------ training


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_trains_on_digits(variant: str) -> None:
    minicnn.manual_seed(0)
    model = models.create_model("googlenet", num_classes=10, in_channels=1, variant=variant)
    losses = losses_on_digits(model, batch=16, lr=1e-3, enlarged=4, loss=auxiliary_loss, optimizer=minicnn.optim.Adam)
    assert losses[-1] < 0.9 * losses[0]
    model.zero_grad()
    assert not without_gradient(model, (4, 1, 64, 64), auxiliary_loss)


# ------------------------------------------------------------ the same as torchvision's


def weighted(outputs: Any) -> Any:
    """One tensor of what a training forward returns, each part with a weight of its own."""
    if isinstance(outputs, tuple):
        return outputs.logits + 0.3 * outputs.aux_logits1 + 0.2 * outputs.aux_logits2
    return outputs


@pytest.mark.parametrize(
    "options",
    [{}, {"aux_logits": False}, {"transform_input": True}],
    ids=["with auxiliary classifiers", "without", "transform_input"],
)
def test_same_numbers_as_torchvision(options: dict[str, Any], tmp_path: Path) -> None:
    """Logits, loss, every gradient and the running statistics, with the weights of one ``.pth`` file."""
    torchvision = peers.torchvision()
    shape = (2, 3, 64, 48)
    options = {"num_classes": 10, "dropout": 0.0, "dropout_aux": 0.0, **options}
    peer = drawn(lambda: torchvision.models.googlenet(init_weights=False, **options))
    model = from_pth("googlenet", calibrated(peer, shape), tmp_path / "googlenet.pth", **options)
    assert model.variant == "torchvision"
    assert evaluation_error(model, peer, shape) <= LOGITS_FLOAT32
    errors = training_errors(model, peer, shape, weighted)
    worst = max(errors, key=errors.__getitem__)
    assert errors[worst] <= GRADIENTS_FLOAT64, worst
