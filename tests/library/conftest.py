"""The command, and how many examples Hypothesis draws. Not for the homework: importing Hypothesis takes its time.

The default profile draws the same few examples on every run, so that the whole suite stays under five minutes
on two cores and a red test stays red. To search further:

    MINICNN_EXAMPLES=500 pytest tests/library/ops/test_algebra.py     # new random examples on every run
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numba
import pytest
from hypothesis import HealthCheck, settings

from minicnn import cli

EXAMPLES = 8

settings.register_profile(
    "ci",
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
settings.register_profile(
    "search",
    settings.get_profile("ci"),
    max_examples=int(os.environ.get("MINICNN_EXAMPLES", EXAMPLES)),
    derandomize=False,
)
settings.load_profile("search" if "MINICNN_EXAMPLES" in os.environ else "ci")

SEVERAL_THREADS = ("backend", "bench")


@pytest.fixture(autouse=True, scope="module")
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """One thread, but where threads are tested: several processes that test share the processor's cores."""
    before = numba.get_num_threads()
    folder = request.path.relative_to(Path(__file__).parent).parts[0]
    numba.set_num_threads(before if folder in SEVERAL_THREADS else 1)
    yield
    numba.set_num_threads(before)


@pytest.fixture
def minicnn_command(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process and an empty directory: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        status = cli.main(list(map(str, arguments)))
        out, error = capfd.readouterr()
        return status, out, error

    return run
