"""The commands that the handouts print can be run as they are printed."""

import re
from pathlib import Path

import pytest

import minicnn
from minicnn import models

HANDOUTS = Path(__file__).parents[3] / "assignments"
TRAINING = re.compile(r"`minicnn train (\w+)( --image-size (\d+))?")
COMMANDS = sorted(
    {
        (name, int(size or 8))
        for page in HANDOUTS.glob("*/README.md")
        for name, _, size in TRAINING.findall(page.read_text())
    }
)


def test_the_handouts_print_commands():
    assert {"googlenet", "resnet20", "seresnet18"} <= {name for name, _ in COMMANDS}


@pytest.mark.parametrize(("name", "size"), COMMANDS)
def test_a_network_takes_the_digits_at_the_size_that_the_handout_says(name, size):
    with minicnn.nn.init.skip(), minicnn.no_grad():
        model = models.create_model(name, num_classes=10, in_channels=1).eval()
        assert model(minicnn.zeros(1, 1, size, size)).shape == (1, 10)
