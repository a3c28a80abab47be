"""The names under which a compiled model finds kernels."""

from __future__ import annotations

from minicnn.backend.cpu.kernels import FUSED
from minicnn.backend.reference import ReferenceBackend
from minicnn.compiler.rules import RULES


def test_every_kernel_that_a_rule_calls_or_the_reference_has_is_there():
    called = {name for rule in RULES for name in rule.kernels}
    assert called | set(ReferenceBackend.fused) <= set(FUSED)
    assert all(callable(kernel) for kernel in FUSED.values())
