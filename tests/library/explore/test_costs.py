"""What steps cost, and the laws that hold for every network of the list: its graph, its sums, its lines of code."""

from __future__ import annotations

from pathlib import Path

import pytest

from minicnn.explore.costs import costs
from minicnn.explore.stages import cam_step, has_map, stage_ends
from minicnn.models import create_model, list_models, model_entry
from minicnn.nn.summary import summary

from .networks import PACKAGE, Branches, assert_connected

FEW = ("alexnet", "deformable_resnet18", "densenet121", "efficientnet_b0", "googlenet", "resnet20", "seresnet18")


def check(name: str, variant: str | None = None) -> None:
    model = create_model(name, variant=variant, init=False)
    recording, rows = costs(model, (3, 96, 96))
    steps = recording.steps
    total = summary(model, (3, 96, 96))
    assert_connected(steps, steps[-1].id)
    assert steps[-1].shape == (model_entry(name).num_classes,)
    assert sum(step.parameters for step in steps) == total.parameters - total.idle_parameters
    assert sum(row.multiply_adds for row in rows) == total.multiply_adds

    layers = {step.module: row for step, row in zip(steps, rows, strict=True) if step.layer is not None}
    named = {row.name: row for row in total.rows if row.name in layers}
    assert layers.keys() == named.keys()
    for path, row in layers.items():
        ours = row.output_shape, row.multiply_adds, row.receptive_field, row.stride
        theirs = named[path]
        assert ours == (theirs.output_shape, theirs.multiply_adds, theirs.receptive_field, theirs.stride), path

    for step in steps:
        assert step.line is not None, step
        lines = (PACKAGE / step.line.file).read_text(encoding="utf-8").splitlines()
        assert lines[step.line.number - 1].strip() == step.line.text
        assert step.line.file.startswith("models/")

    ends = stage_ends(steps)
    assert len({steps[at].shape[1:] for at in ends}) == len(ends) >= 3
    last = cam_step(recording)
    assert last is not None and has_map(steps[last])


@pytest.mark.parametrize("name", FEW)
def test_the_laws_hold(name: str) -> None:
    check(name)


@pytest.mark.slow(60)
@pytest.mark.parametrize("name", [name for name in list_models() if model_entry(name).paper.title != "Tests"])
def test_the_laws_hold_for_all(name: str) -> None:
    for variant in model_entry(name).variants:
        check(name, variant)


def test_parameters_of_what_does_not_run_are_of_no_step() -> None:
    model = Branches()
    steps = costs(model, (3, 8, 8))[0].steps
    idle = 6 * 5 + 5
    assert sum(parameter.numel() for parameter in model.parameters()) - sum(step.parameters for step in steps) == idle


def test_costs_do_not_depend_on_the_dtype() -> None:
    single, double = costs(Branches(), (3, 8, 8))[1], costs(Branches().double(), (3, 8, 8))[1]
    assert [row.multiply_adds for row in double] == [row.multiply_adds for row in single]


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("resnet18", ["relu", "layer1.1.relu", "layer2.1.relu", "layer3.1.relu", "layer4.1.relu"]),
        ("vgg11", ["features.1", "features.4", "features.9", "features.14", "features.19", "avgpool"]),
        ("densenet121", ["features.relu0", "features.denseblock1", "features.denseblock2", "features.denseblock3", ""]),
    ],
)
def test_the_ends_of_stages(name: str, ends: list[str]) -> None:
    """The last step at each size of map: a block's last one, not the first convolution of the next stage."""
    steps = costs(create_model(name, init=False), (3, 224, 224))[0].steps
    assert [steps[at].module for at in stage_ends(steps)] == ends


def test_the_lines_of_a_helper_are_those_that_call_it() -> None:
    steps = costs(create_model("resnet18", init=False), (3, 64, 64))[0].steps
    add = next(step for step in steps if step.kind == "Add")
    assert add.line is not None and "residual_add(out, identity)" in add.line.text


def test_files_are_shown_without_the_folders_above() -> None:
    line = costs(Branches(), (3, 8, 8))[0].steps[0].line
    assert line is not None and line.text == "joined = minicnn.cat([self.left(x), self.right(x)], 1)"
    assert not Path(line.file).is_absolute() and line.file.endswith("networks.py")
