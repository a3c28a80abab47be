"""``a // b`` and ``a % b`` of arrays: NumPy's everywhere, of floats on a GPU too."""

from __future__ import annotations

from typing import Any


def floored_quotient(backend: Any, a: Any, b: Any) -> Any:
    """``a // b``, of arrays or of an array and a number."""
    return floor_divmod(backend.xp, a, b)[0] if _rounds_first(backend, a, b) else a // b


def remainder(backend: Any, a: Any, b: Any) -> Any:
    """``a % b``, with the sign of ``b``."""
    return floor_divmod(backend.xp, a, b)[1] if _rounds_first(backend, a, b) else a % b


def _rounds_first(backend: Any, a: Any, b: Any) -> bool:
    """CuPy computes ``floor(a / b)``: the rounded quotient makes 1.0 // 0.1 ten, and 5.5 % inf NaN."""
    return backend.device_type == "cuda" and any(getattr(x, "dtype", None) and x.dtype.kind == "f" for x in (a, b))


def floor_divmod(xp: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Quotient and remainder of floats by ``fmod``, which is exact, as NumPy and PyTorch compute them."""
    rest = xp.fmod(a, b)  # with the sign of a
    quotient = (a - rest) / b  # whole but for rounding
    across = (rest != 0) & ((rest < 0) != (b < 0))  # b has the other sign: one b further
    rest, quotient = xp.where(across, rest + b, rest), xp.where(across, quotient - 1, quotient)
    whole = xp.floor(quotient)
    quotient = whole + (quotient - whole > 0.5)
    exact = a / b
    quotient = xp.where(quotient == 0, xp.copysign(quotient, exact), quotient)
    return xp.where(b == 0, exact, quotient), xp.where(rest == 0, xp.copysign(rest, b), rest)
