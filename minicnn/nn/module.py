"""``Module``: a tree of layers that knows its parameters, its state and, while it runs, its path.

Assigning a ``Parameter`` or a ``Module`` as an attribute registers it; everything else (``parameters()``,
``state_dict()``, ``repr``, the path in an error message) is a walk over the registered objects.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, ParamSpec, Protocol, Self, TypeVar
from weakref import ref

import numpy as np

from ..autograd import scope
from ..devices import Place
from ..dtypes import DType
from ..errors import ShapeError
from ..hooks import RemovableHandle
from ..notebook import module_html
from ..ops.shape import destination
from ..short_floats import FLOATS
from ..tensors import Tensor
from . import state as state_loading
from .messages import MissingAttributeError, locate, not_initialised, tree_text
from .parameter import Parameter

# The dictionaries of registered attributes, and what may be assigned to a name that is registered there.
REGISTRIES = {"_parameters": "a Parameter", "_buffers": "a Tensor", "_modules": "a Module"}

P = ParamSpec("P")
Result = TypeVar("Result", covariant=True)


class HasForward(Protocol[P, Result]):
    """A module by what its ``forward`` takes and returns, which is what a call of the module takes and returns."""

    def forward(self, *args: P.args, **kwargs: P.kwargs) -> Result: ...


class Module:
    """Base class of every layer and network.

    A subclass calls ``super().__init__()`` first, assigns its parameters and submodules as attributes, and
    defines ``forward``. Calling the module runs ``forward`` and its hooks, and keeps track of the running module, so
    that errors can say where they happened.
    """

    training: bool
    # False for a container, whose output is its last layer's: messages should name the layer.
    names_its_output: ClassVar[bool] = True
    # Entries of the state that may be missing in a file.
    optional_state: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _modules={},
            _non_persistent_buffers=set(),
            _forward_pre_hooks={},
            _forward_hooks={},
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; to be defined by every subclass that is called."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    # ------------------------------------------------------------------------------------------- calling

    def __call__(self: HasForward[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """``forward`` between its hooks. To a type checker the arguments and the result are those of ``forward``."""
        module: Any = self
        inputs: Any = args
        running = scope.stack()
        running.append(module)
        try:
            if module._forward_pre_hooks:
                inputs = module._run_pre_hooks(inputs)
            output = module.forward(*inputs, **kwargs)
            if module._forward_hooks:
                output = module._run_hooks(inputs, output)
        except ShapeError as error:
            if error.path is None:  # set by the innermost module
                locate(error, (*inputs, *kwargs.values()))
            raise
        finally:
            running.pop()
        module._tag(output)
        return output

    def _tag(self, output: Any) -> None:
        """Mark every tensor of ``output`` as computed by this module, for messages about its shape.

        The mark is a weak reference: a tensor that its module keeps must not keep the module alive.
        """
        if isinstance(output, Tensor):
            if self.names_its_output or output.producer is None:
                output.producer = ref(self)
        elif isinstance(output, (tuple, list)):
            for item in output:
                self._tag(item)
        elif isinstance(output, dict):
            for item in output.values():
                self._tag(item)

    def register_forward_pre_hook(self, hook: Callable[[Any, Any], Any]) -> RemovableHandle:
        """Run ``hook(module, args)`` before every ``forward``; a result that is not None replaces
        ``args``."""
        return RemovableHandle(self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: Callable[[Any, Any, Any], Any]) -> RemovableHandle:
        """Run ``hook(module, args, output)`` after every ``forward``; a result that is not None replaces
        ``output``. Hooks run in the order in which they were registered."""
        return RemovableHandle(self._forward_hooks, hook)

    def _run_pre_hooks(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in list(self._forward_pre_hooks.values()):
            replaced = hook(self, args)
            if replaced is not None:
                args = replaced if isinstance(replaced, tuple) else (replaced,)
        return args

    def _run_hooks(self, args: tuple[Any, ...], output: Any) -> Any:
        for hook in list(self._forward_hooks.values()):
            replaced = hook(self, args, output)
            if replaced is not None:
                output = replaced
        return output

    # ------------------------------------------------------------------------------------- registration

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under ``name``; ``None`` reserves the name for a parameter that this module does not have."""
        self._register("_parameters", name, param, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but is not learned (running statistics).

        It moves with ``to()`` and is in ``state_dict()`` unless ``persistent`` is False.
        """
        self._register("_buffers", name, tensor, Tensor)
        (self._non_persistent_buffers.discard if persistent else self._non_persistent_buffers.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under ``name``, as assigning it as an attribute does."""
        self._register("_modules", name, module, Module)

    register_module = add_module

    def _register(self, registry: str, name: str, value: Any, kind: type) -> None:
        members = getattr(self, registry)
        if not isinstance(name, str):
            raise TypeError(f"expected a string as name, got {name!r}")
        if not name or "." in name:
            raise KeyError(f"expected a name that is not empty and has no dot, got {name!r}")
        if name not in members and hasattr(self, name):
            raise KeyError(f"{type(self).__name__} has an attribute {name!r} already")
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"expected {REGISTRIES[registry]} or None as {name!r}, got {type(value).__name__}")
        members[name] = value

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, (Parameter, Module)):
            if "_modules" not in own:
                raise AttributeError(not_initialised(self))
            home = "_parameters" if isinstance(value, Parameter) else "_modules"
            for registry in REGISTRIES.keys() - {home}:
                own[registry].pop(name, None)
            own.pop(name, None)
            own["_non_persistent_buffers"].discard(name)
            own[home][name] = value
            return
        for registry, expected in REGISTRIES.items():
            if name in own.get(registry, ()):
                if value is not None and not (registry == "_buffers" and isinstance(value, Tensor)):
                    raise TypeError(f"{name!r} holds {expected}: cannot assign a {type(value).__name__} to it")
                own[registry][name] = value
                return
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:  # only called for names that are not found in the usual way
        own = self.__dict__
        if "_modules" not in own:
            raise AttributeError(not_initialised(self))
        for members in (own["_parameters"], own["_buffers"], own["_modules"]):
            if name in members:
                return members[name]
        if hasattr(type(self), name):  # a property raised AttributeError: show its own message
            return object.__getattribute__(self, name)
        raise MissingAttributeError(self, name)

    def __delattr__(self, name: str) -> None:
        for registry in REGISTRIES:
            if name in self.__dict__.get(registry, ()):
                del self.__dict__[registry][name]
                self._non_persistent_buffers.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        registered = (name for registry in REGISTRIES for name in self.__dict__.get(registry, ()))
        return sorted({*object.__dir__(self), *(name for name in registered if name.isidentifier())})

    # ------------------------------------------------------------------------------------------- walking

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module (named ``prefix``) and all modules below it, depth first; a shared module once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all modules below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below this one, a shared one once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly below this one."""
        return (module for _, module in self.named_children())

    def _named_members(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners: Iterable[tuple[str, Module]] = [(prefix, self)]
        if recurse:
            owners = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in owners:
            for name, member in getattr(module, registry).items():
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield (f"{path}.{name}" if path else name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter with its dotted name, a shared one once."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter; ``recurse=False`` leaves out those of submodules."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Every buffer with its dotted name."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer; ``recurse=False`` leaves out those of submodules."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at the dotted path ``target``; the empty path is this module.

        Raises:
            AttributeError: if there is nothing at the path, or an object that is not a module.
        """
        module = self
        for name in filter(None, target.split(".")):
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"{name!r} in {target!r} is a {type(module).__name__}, not a Module")
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at the dotted path ``target``, found as ``get_submodule`` finds modules."""
        return self._get_member(target, "_parameters")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at the dotted path ``target``."""
        return self._get_member(target, "_buffers")

    def _get_member(self, target: str, registry: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        value = getattr(owner, name)
        if name not in getattr(owner, registry):
            raise AttributeError(f"{target!r} is a {type(value).__name__}, not {REGISTRIES[registry]}")
        return value

    # --------------------------------------------------------------------------------------------- state

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> OrderedDict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, in PyTorch's order.

        The tensors are detached and share memory with the module (``keep_vars=True``: they are the module's).
        """
        state: OrderedDict[str, Tensor] = OrderedDict()
        for path, module in self.named_modules(prefix=prefix.removesuffix("."), remove_duplicate=False):
            for registry in (module._parameters, module._buffers):
                for name, tensor in registry.items():
                    if tensor is not None and name not in module._non_persistent_buffers:
                        state[f"{path}.{name}" if path else name] = tensor if keep_vars else tensor.detach()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> state_loading.IncompatibleKeys:
        """Copy tensors or arrays into this module's parameters and buffers, by key, in place.

        Values are converted to this module's dtypes and devices. ``num_batches_tracked`` may be missing.

        Args:
            state_dict: ``{"layer1.0.conv1.weight": tensor, ...}``.
            strict: whether missing and unexpected keys are errors.

        Returns:
            A named tuple of the ``missing_keys`` and the ``unexpected_keys``.

        Raises:
            RuntimeError: with every missing key, unexpected key (both only if ``strict``) and every size
                mismatch; in that case nothing was loaded.
            TypeError: if ``state_dict`` is not a dictionary.
        """
        return state_loading.load(self, state_dict, strict)

    # -------------------------------------------------------------------------- changing the whole tree

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` on every module below this one and last on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set ``training`` here and below: batch norm uses the batch's statistics, dropout is active."""
        if not isinstance(mode, bool):
            raise ValueError(f"expected True or False as mode, got {mode!r}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """``train(False)``: batch norm uses its running statistics, dropout does nothing."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (False) or unfreeze every parameter here and below."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Delete the gradients of all parameters, or fill them with zeros."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad = parameter.grad.detach().zero_()

    def _apply(self, convert: Callable[[Tensor], Tensor]) -> Self:
        """Convert every tensor in the tree; a ``Parameter`` stays the object that optimisers know."""
        for module in self.modules():
            for parameter in module.parameters(recurse=False):
                gradient, converted = parameter.grad, convert(parameter.data)
                if converted.array is not parameter.array:  # else a pending backward still compares its write counter
                    parameter.data = converted
                parameter.grad = None if gradient is None else convert(gradient)
            for name, buffer in module.named_buffers(recurse=False, remove_duplicate=False):
                module._buffers[name] = convert(buffer)
        return self

    def to(
        self,
        *args: Tensor | DType | Place | None,
        device: Place | None = None,
        dtype: DType | None = None,
        non_blocking: bool = False,
    ) -> Self:
        """Move to a device and/or convert floating-point tensors to a dtype, in place.

        ``to("cuda:0")``, ``to(minicnn.float64)``, ``to("cpu", minicnn.float32)``, ``to(other_tensor)``.
        """
        new_dtype, new_device = destination(args, dtype, device)
        if new_dtype is not None and new_dtype.kind not in FLOATS:
            raise TypeError(f"a module can only be converted to a floating-point dtype, got {new_dtype}")

        def convert(tensor: Tensor) -> Tensor:
            return tensor.to(device=new_device, dtype=new_dtype if tensor.is_floating_point() else None)

        return self._apply(convert)

    def double(self) -> Self:
        """Floating-point tensors to float64."""
        return self.to(dtype=np.dtype(np.float64))

    def float(self) -> Self:
        """Floating-point tensors to float32."""
        return self.to(dtype=np.dtype(np.float32))

    def cuda(self, device: Place | None = None) -> Self:
        """Move to a GPU."""
        return self.to("cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device)

    def cpu(self) -> Self:
        """Move to main memory."""
        return self.to("cpu")

    # --------------------------------------------------------------------------------------------- text

    def extra_repr(self) -> str:
        """The text between the parentheses of ``repr``, without the submodules."""
        return ""

    def __repr__(self) -> str:
        return tree_text(self, [f"({name}): {module!r}" for name, module in self._modules.items()])

    _repr_html_ = module_html
