"""``autocast``: which operations compute in 16 bits, which in float32, and the casts before them.

The operations know nothing of it. ``ops.guards``, through which every public function passes, hands their arguments to
the ``Casting`` that is in force.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..autograd import Function
from ..autograd.memory import memory_of
from ..autograd.modes import SWITCHES, Switch
from ..autograd.stepwise import Decorated, around
from ..dtypes import DType, as_dtype, bfloat16, float32, float64
from ..tensors import Tensor

# PyTorch's lists for CUDA, as far as minicnn has the functions. All others compute in the dtypes that they are given;
# where those of two arguments differ, in the wider one.
_LISTS = {
    "lower": "conv2d pointwise_conv2d linear matmul",  # products, which a GPU has special units for
    "float32": "exp log pow rsqrt square sum prod cumsum norm logsumexp softmax log_softmax group_norm "
    "local_response_norm cross_entropy nll_loss mse_loss l1_loss deform_conv2d",  # large sums, and large numbers
}
POLICIES = {name: policy for policy, names in _LISTS.items() for name in names.split()}

DEFAULTS = {"cuda": "float16", "cpu": bfloat16}


class autocast(Switch):  # noqa: N801  (PyTorch's name)
    """Compute products in 16 bits and what needs more in float32: ``with autocast("cuda"):`` or ``@autocast("cuda")``.

    The parameters stay float32. What a product takes is cast to ``dtype``, on the tape, so that gradients arrive at the
    parameters in float32; a parameter is cast once and its copy kept until the outermost block ends. Backward belongs
    outside of the block: it computes in the dtypes of forward. float16 needs ``amp.GradScaler`` in training.

    On the CPU nothing gets shorter or faster: tensors stay float32, and what a product takes and gives is rounded to
    ``dtype``, and so are the gradients there, to show and to test the effect of rounding. (PyTorch's CPU operations
    return bfloat16.) Both devices follow PyTorch's lists for CUDA.

    Args:
        device_type: ``"cuda"`` or ``"cpu"``: tensors on the other are left alone.
        dtype: ``"float16"`` or ``"bfloat16"`` (also ``minicnn.bfloat16`` ...); float16 for CUDA and bfloat16 for the
            CPU if not given.
        enabled: False switches it off inside an outer block.
        cache_enabled: whether to keep the casts of parameters.

    Raises:
        ValueError: for another device type or dtype. (PyTorch warns of the dtype, and does nothing.)
    """

    name = "autocast"

    def __init__(
        self, device_type: str, dtype: DType | None = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        super().__init__()
        _check_device_type("autocast", device_type)
        short = DEFAULTS[device_type] if dtype is None else dtype if isinstance(dtype, str) else np.dtype(dtype).name
        if short not in DEFAULTS.values():
            raise ValueError(f"autocast: expected dtype 'float16' or 'bfloat16', got {dtype!r}")
        self.device_type, self.dtype, self.enabled = device_type, short, enabled
        self.cache_enabled = cache_enabled is not False

    @property
    def value(self) -> Casting | None:  # of the switch, inside the block
        """What is in force inside the block: this, and what the blocks around it set for other devices."""
        outer: Casting | None = SWITCHES.autocast
        dtypes = {} if outer is None else dict(outer.dtypes)
        dtypes.pop(self.device_type, None)
        if self.enabled:
            dtypes[self.device_type] = self.dtype
        cache = None if not self.cache_enabled else {} if outer is None else outer.cache
        return Casting(dtypes, cache) if dtypes else None

    def __call__(self, function: Decorated) -> Decorated:
        """``function`` with autocast in force whenever it runs."""
        return around(partial(autocast, self.device_type, self.dtype, self.enabled, self.cache_enabled), function)


class Casting:
    """What happens to the arguments of operations on the types of device ``dtypes``; ``ops.guards`` asks it."""

    def __init__(self, dtypes: dict[str, str], cache: dict[int, Any] | None) -> None:
        self.dtypes, self.cache = dtypes, cache
        self.key = tuple(sorted(dtypes.items()))

    def fresh(self) -> Casting:
        """The same without the casts that have been kept."""
        return Casting(self.dtypes, None if self.cache is None else {})

    def arguments(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The arguments of the function ``name``, in the dtypes of its policy."""
        policy = POLICIES.get(name)
        if policy is None or kwargs.get("dtype") is not None:
            return args, kwargs
        cast: Callable[[Tensor], Tensor] = self._kept if policy == "lower" else self._widened
        values = [Tensor(value) if isinstance(value, np.ndarray) else value for value in (*args, *kwargs.values())]
        taken = [cast(value) if isinstance(value, Tensor) else value for value in values]
        return tuple(taken[: len(args)]), dict(zip(kwargs, taken[len(args) :], strict=True))

    def result(self, name: str, result: Any) -> Any:
        """What the function ``name`` returned; on the CPU a product is rounded only now."""
        if POLICIES.get(name) != "lower" or result.is_cuda:
            return result
        return self._lowered(result)

    def _applies(self, x: Tensor) -> bool:
        return x._device.type in self.dtypes and x.is_floating_point() and x.dtype != float64

    def _widened(self, x: Tensor) -> Tensor:
        return x.to(float32) if self._applies(x) else x

    def _lowered(self, x: Tensor) -> Tensor:
        if not self._applies(x):
            return x
        dtype = self.dtypes[x._device.type]
        return x.to(dtype) if x.is_cuda else Rounded.apply(x.to(float32), dtype)

    def _kept(self, x: Tensor) -> Tensor:
        """``x`` lowered; if it is a parameter, only once until it is written into."""
        if self.cache is None or x.grad_fn is not None or not x._requires_grad or x.dtype != float32:
            return self._lowered(x)
        state = x.array, memory_of(x).writes, SWITCHES.grad_enabled, self.key
        kept = self.cache.get(id(x))
        if kept is None or kept[1] is not state[0] or kept[2:5] != state[1:]:
            kept = self.cache[id(x)] = (x, *state, self._lowered(x))  # with x, so that its id is given to no other
        return kept[-1]


class Rounded(Function):
    """The same float32 numbers with no more digits than ``dtype`` has; the gradient is rounded in the same way."""

    @staticmethod
    def forward(ctx: Any, x: Any, dtype: str) -> Any:
        ctx.dtype = dtype
        return rounded(x, dtype)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return rounded(dy, ctx.dtype), None


def rounded(x: np.ndarray, dtype: str) -> np.ndarray:
    """The float32 numbers ``x`` rounded to float16 or bfloat16, to the nearest and of two to the even one."""
    if dtype != bfloat16:
        with np.errstate(over="ignore"):
            return x.astype(dtype).astype(float32)
    words = np.ascontiguousarray(x).view(np.uint32)  # bfloat16 is the upper half of a float32
    words = (words + (0x7FFF + (words >> 16 & 1))) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), x, words.view(float32))


class recast(Switch):  # noqa: N801
    """Put ``casting``, which autocast had put in force elsewhere, in force again, without the casts that it keeps.

    ``None`` switches autocast off.
    """

    name = "autocast"

    def __init__(self, casting: Casting | None) -> None:
        super().__init__()
        self.value = casting and casting.fresh()


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is in force for ``device_type`` in this thread.

    Raises:
        ValueError: for another device type than ``autocast`` has.
    """
    _check_device_type("is_autocast_enabled", device_type)
    return SWITCHES.autocast is not None and device_type in SWITCHES.autocast.dtypes


def get_autocast_dtype(device_type: str) -> np.dtype[Any] | str:
    """The dtype to which autocast casts on ``device_type``, in force or not.

    Raises:
        ValueError: for another device type than ``autocast`` has.
    """
    _check_device_type("get_autocast_dtype", device_type)
    dtypes = {} if SWITCHES.autocast is None else SWITCHES.autocast.dtypes
    name = dtypes.get(device_type, DEFAULTS[device_type])
    return name if name == bfloat16 else as_dtype(name)


def _check_device_type(function: str, device_type: Any) -> None:
    if device_type not in list(DEFAULTS):
        raise ValueError(f"{function}: expected device_type 'cuda' or 'cpu', got {device_type!r}")
