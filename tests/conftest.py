"""What all tests share: one thread per process, and how many examples Hypothesis draws.

The default profile draws the same few examples on every run, so that the whole suite stays under five minutes
on two cores and a red test stays red. To search further:

    MINICNN_EXAMPLES=500 pytest tests/library/test_algebra.py     # new random examples on every run
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

# Arrays are small here: more threads only wait for each other. The variables are for the processes that tests start.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MINICNN_QUIET", "1")  # no word about compiling: what a command writes is compared
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # Numba's threads: waiting must not keep another test's core busy
threadpool_limits(int(os.environ["OPENBLAS_NUM_THREADS"]), user_api="blas")

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
