"""``minicnn models``: each number against the data it stands for, and a table that reads well anywhere."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache

import pytest

import minicnn
from minicnn import cli, nn
from minicnn.models import create_model, list_models, model_entry, preprocessing
from minicnn.models.efficientnet import SCALING
from minicnn.nn.summary import multiply_adds
from tests.library.support import peers
from tests.library.support.tiny_training import register_tinynet

register_tinynet()  # a model whose paper has no errors and no lecture line, as others may come

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.main(arguments)
        out, error = capfd.readouterr()
        return status, out, error

    return run


def rows(out: str) -> dict[str, dict[str, str]]:
    """The table by model and column; a column's cells lie within its header's span or right below it."""
    header, *lines = out.partition("\n\n")[0].splitlines()
    spans = {
        "model": (0, header.index("parameters") - 3),
        "parameters": (header.index("parameters") - 3, header.index("mult-adds") - 1),
        "mult-adds": (header.index("mult-adds") - 1, header.index("input") - 1),
        "input": (header.index("input") - 1, header.index("top-1") - 1),
        "top-1": (header.index("top-1") - 1, header.index("top-5") - 1),
        "top-5": (header.index("top-5") - 1, header.index("top-5") + 5),
        "source": (header.index("top-5") + 5, header.index("lecture")),
        "lecture": (header.index("lecture"), 1000),
    }
    cells = [{column: line[start:stop].strip() for column, (start, stop) in spans.items()} for line in lines]
    return {row["model"]: row for row in cells}


def sources(out: str) -> dict[str, str]:
    """What each number in brackets stands for."""
    return dict(re.findall(r"^(\[\d+\]) (.*)$", re.sub(r"\n {4}", " ", out), flags=re.MULTILINE))


@cache
def model_of(name: str, variant: str | None = None) -> nn.Module:
    return create_model(name, variant=variant, init=False)


# A few of each family; the whole list is built once, by the test below.
SOME = ("alexnet", "vgg16_bn", "googlenet", "plain34", "resnet50", "resnet56", "densenet169", "seresnet50", "tinynet")


def test_every_model_has_one_line_in_reading_order(command: Command) -> None:
    status, out, error = command("models")
    assert (status, error) == (0, "")
    table = rows(out)
    assert list(table) == list_models()
    assert max(map(len, out.splitlines())) <= 80
    assert out.isascii() and "\t" not in out and "\x1b" not in out  # the same in a pipe, a file, a terminal
    for name, row in table.items():
        entry = model_entry(name)
        assert row["lecture"] == entry.paper.lecture
        assert row["input"] == str(preprocessing(name).crop_size[0])
        for column, published in zip(("top-1", "top-5"), entry.score[:2], strict=True):
            assert row[column] == ("" if published is None else f"{published:.2f}")
        where = entry.score[2]
        assert bool(row["source"]) == bool(where)
        if where:
            assert sources(out)[row["source"]].endswith(where)
            if where.startswith("Table"):
                assert sources(out)[row["source"]].startswith(entry.paper.authors.split(",")[0])
                assert str(entry.paper.year) in sources(out)[row["source"]]
    used = {row["source"] for row in table.values()} - {""}
    assert used == set(sources(out)) and len(set(sources(out).values())) == len(used)


@pytest.mark.parametrize("name", SOME)
def test_costs_are_the_models(name: str, command: Command) -> None:
    row = rows(command("models", name)[1])[name]
    model, side = model_of(name), int(row["input"])
    parameters = sum(math.prod(parameter.shape) for parameter in model.parameters())
    assert row["parameters"] == f"{parameters:,}"
    assert row["mult-adds"] == f"{minicnn.summary(model, (3, side, side)).multiply_adds / 1e9:.3f} G"


@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 71, 96)])
def test_the_total_alone_is_the_summarys(shape: tuple[int, ...]) -> None:
    for name in ("resnet18", "efficientnet_b0", "densenet121", "deformable_resnet18", "googlenet"):
        model = model_of(name)
        assert multiply_adds(model, shape) == minicnn.summary(model, shape).multiply_adds > 0
        assert multiply_adds(model, shape) == minicnn.summary(model, shape).multiply_adds  # it starts anew each time
        assert model.training


@pytest.mark.slow
def test_published_numbers_of_the_other_variant(command: Command) -> None:
    """torchvision states, for each of its weights, parameters and multiply-adds at the size of their evaluation."""
    torchvision = peers.torchvision()
    table = rows(command("models", "--variant", "torchvision")[1])
    compared = 0
    for name in set(table) & set(torchvision.models.list_models(torchvision.models)):
        meta = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta
        idle = 6_379_984 if name == "googlenet" else 0  # its auxiliary classifiers, which torchvision does not count
        assert int(table[name]["parameters"].replace(",", "")) == meta["num_params"] + idle, name
        assert table[name]["mult-adds"] == f"{meta['_ops']:.3f} G", name
        compared += 1
    assert compared == 27


def test_the_papers_numbers_beside_their_tables(command: Command) -> None:
    """The lecture's and the papers' own numbers, as far as they print them."""
    table = rows(command("models", "resnet")[1])
    printed = {"resnet18": 1.8, "resnet34": 3.6, "resnet50": 3.8, "resnet101": 7.6, "resnet152": 11.3}
    for name, multiply_adds_in_g in printed.items():
        assert float(table[name]["mult-adds"].split()[0]) == pytest.approx(multiply_adds_in_g, abs=0.07)
    table = rows(command("models", "efficientnet")[1])
    assert [row["input"] for row in table.values()] == [str(size) for _, _, size, _, _ in SCALING.values()]
    assert table["efficientnet_b0"]["mult-adds"] == "0.386 G"  # 0.39e9 in Table 2


def test_a_part_picks_and_widths_follow(command: Command) -> None:
    out = command("models", "plain")[1]
    assert list(rows(out)) == [name for name in list_models() if "plain" in name]
    assert out.startswith("model      parameters")
    assert list(sources(out)) == ["[1]", "[2]"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transformer"], "no model has 'transformer' in its name; `minicnn models` lists all"),
        (["vgg", "--variant", "torchvision"], "none of these models has a variant 'torchvision', only paper"),
        (["resnet", "--variant", "v2"], "none of these models has a variant 'v2', only paper and torchvision"),
    ],
)
def test_misuse(arguments: list[str], message: str, command: Command) -> None:
    status, out, error = command("models", *arguments)
    assert (status, out) == (2, "")
    assert error.startswith(f"minicnn: error: {message}") and error.count("\n") == 1
