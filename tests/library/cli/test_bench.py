"""``minicnn bench``: what it prints. No test here asserts a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from minicnn import cli
from minicnn.bench import ladder
from minicnn.bench.networks import Measured
from minicnn.cli import bench

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """``minicnn bench`` in this process: exit status, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.main(("bench", *arguments))
        out, error = capfd.readouterr()
        return status, out, error

    return run


@pytest.mark.slow(seconds=4)
def test_bench_prints_one_line_for_each_kind_of_work(command: Command) -> None:
    status, out, _ = command("resnet20", "--batch", "2", "--size", "8", "--seconds", "0.01", "--threads", "1")
    lines = out.splitlines()
    assert status == 0
    assert lines[0].split()[:4] == ["network", "work", "ms", "images/s"]
    assert [line.split()[:2] for line in lines[1:3]] == [["resnet20", "inference"], ["resnet20", "training"]]
    for said in (
        "measured peak: ",
        "1 threads used",
        "other processes: ",
        "of one step, with 2 images",
        "versions: minicnn ",
        "benchmarks/cpu.py",
    ):
        assert said in out


def test_bench_of_one_kind_of_work(command: Command) -> None:
    out = command("resnet20", "--batch", "1", "--size", "8", "--seconds", "0.01", "--inference")[1]
    assert " inference " in out and " training " not in out.partition("\n\n")[0]


@pytest.mark.slow(seconds=4)
def test_bench_ladder(command: Command) -> None:
    status, out, _ = command("ladder", "--batch", "2", "--channels", "3", "--size", "5", "--seconds", "0.01")
    assert status == 0
    heading, _, rest = out.replace("\n  ", " ").partition("\nway ")
    assert heading.startswith("3x3 convolution, 3 -> 3 channels, 5 x 5 pixels, batch 2: 0.000e9 multiply-adds")
    names = ["loops", "im2col", "im2col, blocked", "direct", "Winograd", "GPU"]
    assert [line.split("  ")[0] for line in rest.partition("\n\n")[0].splitlines()[1:]] == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnt20"], "did you mean 'resnet20'"),
        (["ladder", "resnet20"], "ladder is not a model"),
        (["ladder", "--training"], "--training: a single convolution"),
        (["resnet20", "--channels", "8"], "--channels: goes only with ladder"),
        (["resnet20", "--batch", "0"], "--batch: expected a whole number from 1"),
        (["resnet20", "--seconds", "-1"], "--seconds: expected a number above 0"),
        (["resnet20", "--threads", "1000000"], "number of threads must be between 1 and"),
    ],
)
def test_misuse_of_bench(command: Command, arguments: list[str], message: str) -> None:
    status, out, error = command(*arguments)
    assert (status, out) == (2, "")
    assert message in error and error.count("\n") == 1


def test_cells() -> None:
    measured = Measured("net", "training", 8, 224, 0.25, 10**10, 123_456_789, 2 * 10**9)
    assert bench.network_cells(measured, peak=4e11) == [
        "net", "training", "250.0", "32", "80.0", "20 %", "123.5", "2,000.0",
    ]  # fmt: skip
    problem = ladder.Problem(batch=1, channels=64, size=56)
    rung = ladder.Rung("direct", "because", problem.multiply_adds / 1e11, None)
    assert bench.ladder_cells(rung, problem, 4e11) == ["direct", "1.2", "200.0", "50 %", "-", "because"]
    slow = ladder.Rung("loops", "because", problem.multiply_adds / 1e7, None)
    assert bench.ladder_cells(slow, problem, 4e11)[2:4] == ["0.020", "0.005 %"]
    assert bench.ladder_cells(ladder.Rung("GPU", "none"), problem, 4e11) == ["GPU", "-", "-", "-", "-", "none"]


def test_a_disturbed_measurement_says_so() -> None:
    assert bench.load(0.03) == "3 % of a core"
    assert "measure again" in bench.load(1.2)
    assert bench.load(None).startswith("not known")
