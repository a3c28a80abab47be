"""Initialisation: how large the first weights are, so that no signal vanishes or explodes (L1.2.1, L2.2.6).

A layer y = W x with n inputs has Var[y] = n Var[W] E[x^2]. Keeping that equal from layer to layer, forward or
backward, gives

- Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS
  2010, equation 12: Var[W] = 2 / (fan_in + fan_out), for activations linear around zero (``xavier_std``);
- He et al., "Delving deep into rectifiers", ICCV 2015: a ReLU halves E[x^2], hence Var[W] = 2 / fan_in
  (equation 10, forward) or 2 / fan_out (equation 14, backward); with slope a on the negative side,
  2 / ((1 + a^2) fan) (equation 15) (``kaiming_std``).

Every function fills its tensor in place, outside the tape, from one stream (``minicnn.manual_seed``), and
returns it. The numbers are drawn directly into the tensor's memory, in its own dtype and on all cores:
ResNet-152 takes a fraction of a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from ..autograd import no_grad
from ..random import Generator, resolve
from ..tensors import Tensor
from .blocks import Draw, draw_in_blocks

_skipping: ContextVar[bool] = ContextVar("skipping", default=False)


@contextmanager
def skip() -> Iterator[None]:
    """Inside this block nothing random is drawn, to build a network whose weights will be loaded.

    Layers still allocate their parameters (zeros instead of random numbers), and constants
    (batch norm's ones) are set. The random stream does not advance::

        with nn.init.skip():
            model = resnet152()
        model.load_state_dict(state)
    """
    token = _skipping.set(True)
    try:
        yield
    finally:
        _skipping.reset(token)


# ------------------------------------------------------------------------------------------- how large they are

# The factor by which weights must grow to make up for what the nonlinearity after them takes away.
GAINS: dict[str, Callable[[float | None], float]] = {
    "linear": lambda _: 1.0,
    "conv1d": lambda _: 1.0,
    "conv2d": lambda _: 1.0,
    "conv3d": lambda _: 1.0,
    "sigmoid": lambda _: 1.0,
    "tanh": lambda _: 5.0 / 3.0,
    "relu": lambda _: math.sqrt(2.0),
    "leaky_relu": lambda slope: math.sqrt(2.0 / (1.0 + (0.01 if slope is None else slope) ** 2)),
    "selu": lambda _: 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The gain for a nonlinearity: sqrt(2) for ``"relu"``, sqrt(2 / (1 + param^2)) for ``"leaky_relu"``, ...

    Raises:
        ValueError: for a nonlinearity that is not in ``GAINS``.
    """
    if nonlinearity not in GAINS:
        raise ValueError(f"expected one of {', '.join(GAINS)} as nonlinearity, got {nonlinearity!r}")
    return GAINS[nonlinearity](param)


def fan_in_and_fan_out(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs one output of a weight sees, and how many outputs one input reaches.

    Args:
        shape: of the weight: (out, in) if linear, (out, in / groups, kH, kW) if a convolution's. There each position of
            the kernel counts. Groups cannot be seen from the shape, so fan out counts all filters, as in PyTorch.

    Returns:
        (fan_in, fan_out).

    Raises:
        ValueError: for fewer than two dimensions.
    """
    if len(shape) < 2:
        raise ValueError(f"fan in and fan out need a weight with at least 2 dimensions, got shape {shape}")
    positions = math.prod(shape[2:])
    return shape[1] * positions, shape[0] * positions


def kaiming_std(shape: tuple[int, ...], a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> float:
    """The standard deviation that He et al. 2015 give a weight: the variance is gain^2 / fan.

    Args:
        shape: of the weight; a fan of 0, in an empty weight, counts as 1, whatever the kernel.
        a: the nonlinearity's parameter, for ``"leaky_relu"`` its slope on the negative side (0 is the plain ReLU).
        mode: ``"fan_in"`` keeps the variance of activations, ``"fan_out"`` that of gradients.
        nonlinearity: a name that ``calculate_gain`` knows.

    Raises:
        ValueError: for another mode, and where ``calculate_gain`` and ``fan_in_and_fan_out`` raise it.
    """
    fans = dict(zip(("fan_in", "fan_out"), fan_in_and_fan_out(shape), strict=True))
    if mode not in fans:
        raise ValueError(f"expected 'fan_in' or 'fan_out' as mode, got {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fans[mode], 1))


def xavier_std(shape: tuple[int, ...], gain: float = 1.0) -> float:
    """The standard deviation that Glorot and Bengio 2010 give a weight: gain * sqrt(2 / (fan_in + fan_out))."""
    return gain * math.sqrt(2.0 / max(sum(fan_in_and_fan_out(shape)), 1))


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """PyTorch's name for ``fan_in_and_fan_out``."""
    return fan_in_and_fan_out(tensor.shape)


# ------------------------------------------------------------------------------------------------ filling in


def _fill(tensor: Tensor, generator: Generator | None, draw: Draw, whole: bool = False) -> Tensor:
    """Let ``draw`` write random numbers into the memory of ``tensor``, or into a buffer if it cannot.

    ``draw`` gets the numbers in flat blocks, unless it wants the array ``whole``.
    """
    if _skipping.get():
        return tensor
    array, rng = tensor.array, resolve(generator)
    writable = isinstance(array, np.ndarray) and array.flags.c_contiguous
    # A buffer is used for another device, another dtype or a strided view.
    direct = writable and array.dtype in (np.float32, np.float64)
    out = array if direct else np.empty(tensor.shape, np.float32)
    if whole:
        draw(out, rng)
    else:
        draw_in_blocks(draw, out, rng)
    if not direct:
        return _copy(tensor, out)
    tensor.mark_written()
    return tensor


def _copy(tensor: Tensor, array: np.ndarray) -> Tensor:
    with no_grad():
        return tensor.copy_(Tensor(array))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Set every element to ``val``."""
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Set every element to 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Set every element to 1."""
    return constant_(tensor, 1.0)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform between ``a`` and ``b``."""

    def draw(out: np.ndarray, rng: np.random.Generator) -> None:
        rng.random(dtype=out.dtype, out=out)
        out *= b - a
        out += a

    return _fill(tensor, generator, draw)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with the given mean and standard deviation.

    Raises:
        ValueError: for a negative standard deviation.
    """
    if std < 0:
        raise ValueError(f"expected std (={std}) to be at least 0")

    def draw(out: np.ndarray, rng: np.random.Generator) -> None:
        rng.standard_normal(dtype=out.dtype, out=out)
        out *= std
        if mean:
            out += mean

    return _fill(tensor, generator, draw)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal, restricted to values between ``a`` and ``b`` (not multiples of ``std``).

    Raises:
        ValueError: if ``std`` is not positive or ``a`` is not below ``b``.
    """
    if not std > 0:
        raise ValueError(f"expected std (={std}) to be positive")
    if not a < b:
        raise ValueError(f"expected a (={a}) to be below b (={b})")
    low, high = (a - mean) / std, (b - mean) / std

    def draw(out: np.ndarray, rng: np.random.Generator) -> None:
        _standard_truncated(out, low, high, rng)
        out *= std
        out += mean
        np.clip(out, a, b, out=out)  # rounding may step over the bounds

    return _fill(tensor, generator, draw)


def _standard_truncated(out: np.ndarray, low: float, high: float, rng: np.random.Generator) -> None:
    """Fill ``out`` with standard normal numbers between ``low`` and ``high``, by rejection.

    If the interval holds much of the probability, candidates are normal. Otherwise they are uniform, on the part of the
    interval where the density is not negligible, and are kept with probability density(x) / max density.
    """
    mass = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    peak = min(max(0.0, low), high)  # where the density is largest
    reach = math.sqrt(peak**2 + 80.0)  # beyond it the density is e^-40 of the largest
    left, right = max(low, -reach), min(high, reach)
    pending = np.arange(out.size)
    while pending.size:
        if mass > 0.25:
            candidates = rng.standard_normal(pending.size, dtype=out.dtype)
            kept = (candidates >= low) & (candidates <= high)
        else:
            candidates = rng.uniform(left, right, pending.size)
            kept = rng.random(pending.size) < np.exp((peak**2 - candidates**2) / 2)
        out[pending[kept]] = candidates[kept]
        pending = pending[~kept]


# ----------------------------------------------------------------------------------------- the named schemes


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform in +-gain sqrt(6 / (fan_in + fan_out)): Glorot and Bengio 2010, equation 16."""
    bound = math.sqrt(3.0) * xavier_std(tensor.shape, gain)  # U(-b, b) has variance b^2 / 3
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with deviation gain sqrt(2 / (fan_in + fan_out)): Glorot and Bengio 2010, equation 12."""
    return normal_(tensor, 0.0, xavier_std(tensor.shape, gain), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform in +-gain sqrt(3 / fan), the variance of ``kaiming_normal_``.

    Args:
        a: slope of the negative side, for ``"leaky_relu"`` (0 is the plain ReLU).
        mode: ``"fan_in"`` keeps the variance of activations, ``"fan_out"`` that of gradients.
        nonlinearity: a name that ``calculate_gain`` knows.
    """
    bound = math.sqrt(3.0) * kaiming_std(tensor.shape, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal with standard deviation gain / sqrt(fan): He et al. 2015, equations 10, 14 and 15.

    Arguments as in ``kaiming_uniform_``. This is ResNet's initialisation (L2.2.6).
    """
    return normal_(tensor, 0.0, kaiming_std(tensor.shape, a, mode, nonlinearity), generator)


def default_affine_(weight: Tensor, bias: Tensor | None) -> None:
    """The initial values of ``Linear`` and ``Conv2d``, as in PyTorch: everything uniform in +-1 / sqrt(fan_in).

    That is ``kaiming_uniform_(weight, a=sqrt(5))``, a sixth of He's variance. It is kept because PyTorch code that
    initialises nothing gets it.
    """
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1.0 / math.sqrt(max(fan_in_and_fan_out(weight.shape)[0], 1))
        uniform_(bias, -bound, bound)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix, cut to the shape (rows, columns)."""
    if tensor.ndim != 2:
        raise ValueError(f"expected a tensor with 2 dimensions, got shape {tensor.shape}")
    return _copy(tensor, np.eye(*tensor.shape, dtype=np.float32))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution weight ``(out, in / groups, *kernel)`` that passes its input channels through unchanged.

    With groups, every group passes its own channels. Zagoruyko and Komodakis, "DiracNets", 2017.

    Raises:
        ValueError: if there are no kernel dimensions, or ``groups`` does not divide the output channels.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(f"expected a convolution weight with 3, 4 or 5 dimensions, got shape {tensor.shape}")
    if tensor.shape[0] % groups:
        raise ValueError(f"expected {tensor.shape[0]} output channels to be divisible by groups (={groups})")
    weight = np.zeros(tensor.shape, np.float32)
    centre = tuple(length // 2 for length in tensor.shape[2:])
    per_group = tensor.shape[0] // groups
    for channel in range(min(per_group, tensor.shape[1])):
        index: tuple[slice | int, ...] = (slice(channel, None, per_group), channel, *centre)
        weight[index] = 1.0
    return _copy(tensor, weight)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A random (semi-)orthogonal matrix, all but the first dimension flattened into its columns.

    Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks", 2013.

    Raises:
        ValueError: for a tensor with fewer than two dimensions.
    """
    if tensor.ndim < 2:
        raise ValueError(f"expected a tensor with at least 2 dimensions, got shape {tensor.shape}")

    def draw(out: np.ndarray, rng: np.random.Generator) -> None:
        rows, columns = out.shape[0], math.prod(out.shape[1:])
        normal = rng.standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(normal)
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # without the signs of r, q is not uniformly distributed
        out[...] = gain * (q if rows >= columns else q.T).reshape(out.shape)

    return _fill(tensor, generator, draw, whole=True)


__all__ = [
    "calculate_gain",
    "constant_",
    "default_affine_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "skip",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]
