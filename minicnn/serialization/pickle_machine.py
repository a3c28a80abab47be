"""A pickle reader that builds containers, numbers and text, and calls nothing but a table of given functions.

A pickle is a program for a machine with a stack and a memo. Python's own reader imports and calls whatever the
program names, so reading a file means running it. Here the standard library only *decodes* the instructions
(``pickletools.genops``), and the class below executes the harmless ones:

- a name (GLOBAL) is looked up in a dictionary and never imported, so the program cannot hold a real function;
- REDUCE calls a ``Call`` from that dictionary; the instructions that call in other ways (OBJ, INST, NEWOBJ,
  EXT) do not exist here;
- BUILD, which can set any attribute of any object, works only on types for which a function was given;
- dictionary keys and set members are text and plain numbers, whose hashing is quick and does not recurse;
- if a caller needs only the weights, a name that is not in the dictionary becomes a ``Foreign``, a dummy without
  content that these instructions accept: still nothing is imported or called;
- instructions, and the bytes that calls may copy, are counted.
"""

from __future__ import annotations

import pickletools
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import FileFormatError
from .source import shown

# A state dict of 1 000 tensors takes about 40 000 instructions.
MAX_INSTRUCTIONS = 4_000_000
# Text and bytes pass through one or two calls; more copies than that are an attempt to fill the memory.
COPIES_PER_BYTE = 4
FREE_COPIES = 1 << 20

WEIGHTS_ADVICE = (
    " (serialization.load_state_dict finds the weights beside such objects; in PyTorch, "
    "torch.save(model.state_dict(), path) writes a file without them)"
)

PUSH_ARGUMENT = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
NOTHING_TO_DO = frozenset({"PROTO", "FRAME"})
NEW_OBJECT: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
DICTIONARIES = (dict, OrderedDict, Counter)
KEYS = (str, int, float, bool, bytes, type(None))
SIZED = (str, bytes, bytearray, list, tuple, set, frozenset, *DICTIONARIES)
# Beyond 64 bits, Python's hash of integers lets an attacker choose colliding keys.
MAX_INTEGER_KEY = 1 << 63


@dataclass(frozen=True, eq=False)
class Call:
    """A function that a pickle may call; on the stack it can only be called."""

    function: Callable[..., Any]


@dataclass(eq=False)
class Foreign:
    """An object of a class or function that is not in the table: its name, and its entries if it is a dictionary.

    Nothing of it was imported or run, and everything else that the pickle says about it is left out.
    """

    name: str
    entries: dict[Any, Any] = field(default_factory=dict)


class PickleMachine:
    """Reads pickles made of containers, numbers, text, and what the given functions return.

    Args:
        names: the meaning of a name in the pickle: a ``Call``, or a value.
        builders: by type, the function ``(object, state)`` that carries out BUILD.
        persistent_load: turns a persistent id (for PyTorch: the description of a storage) into a value.
        foreign: other names become ``Foreign`` objects, instead of an error.
        what: the kind of file, for messages.
        advice: what to do about a file that asks for more, for messages.
    """

    def __init__(
        self,
        names: Mapping[str, Any],
        builders: Mapping[type, Callable[[Any, Any], None]],
        persistent_load: Callable[[Any], Any],
        foreign: bool = False,
        what: str = "a file of weights",
        advice: str = WEIGHTS_ADVICE,
    ) -> None:
        self._what, self._advice = what, advice
        self._names = names
        self._builders = builders
        self._persistent_load = persistent_load
        self._steps: dict[str, Callable[[Any], None]] = {
            "MARK": self._mark,
            "POP": self._pop_any,
            "POP_MARK": lambda _: self._discard(self._pop_mark()),
            "DUP": lambda _: self._push(self._top()),
            "PUT": self._put,
            "BINPUT": self._put,
            "LONG_BINPUT": self._put,
            "MEMOIZE": lambda _: self._put(len(self._memo)),
            "GET": self._get,
            "BINGET": self._get,
            "LONG_BINGET": self._get,
            "TUPLE1": lambda _: self._tuple(1),
            "TUPLE2": lambda _: self._tuple(2),
            "TUPLE3": lambda _: self._tuple(3),
            "TUPLE": lambda _: self._push(tuple(self._pop_mark())),
            "LIST": lambda _: self._push(self._pop_mark()),
            "DICT": lambda _: self._set_items({}, self._pop_mark()),
            "FROZENSET": lambda _: self._push(frozenset(map(_key, self._pop_mark()))),
            "APPEND": lambda _: self._extend([self._pop()]),
            "APPENDS": lambda _: self._extend(self._pop_mark()),
            "ADDITEMS": lambda _: self._add_items(self._pop_mark()),
            "SETITEM": self._set_item,
            "SETITEMS": lambda _: self._set_items_of_top(self._pop_mark()),
            "GLOBAL": lambda name: self._push(self._look_up(name.replace(" ", ".", 1))),
            "STACK_GLOBAL": self._stack_global,
            "REDUCE": self._reduce,
            "BUILD": self._build,
            "BINPERSID": lambda _: self._push(self._persistent_load(self._pop())),
        }
        self._foreign = foreign
        if foreign:
            self._steps |= {
                "NEWOBJ": lambda _: self._push(self._made_by(*reversed([self._pop(), self._pop()]))),
                "NEWOBJ_EX": lambda _: self._push(self._made_by(*reversed([self._pop(), self._pop(), self._pop()]))),
                "OBJ": lambda _: self._push(self._made_by(*self._pop_mark())),
                "INST": lambda name: self._push(
                    self._made_by(self._look_up(name.replace(" ", ".", 1)), self._pop_mark())
                ),
            }

    def read(self, file: Any, length: int) -> Any:
        """Execute the pickle that begins at the position of ``file``, and leave ``file`` at its end.

        Args:
            file: a binary file object whose reads return no more than there is.
            length: how many bytes the pickle may have; the limits grow with it.

        Raises:
            FileFormatError: for a pickle that is damaged, too long, or asks for anything that is not allowed.
        """
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under each open MARK
        self._memo: dict[int, Any] = {}
        self._may_copy = FREE_COPIES + COPIES_PER_BYTE * length
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
                if count == MAX_INSTRUCTIONS:
                    raise FileFormatError(f"refused: its pickle has more than {MAX_INSTRUCTIONS} instructions")
                self._execute(opcode.name, argument)
            return self._pop()
        except FileFormatError:
            raise
        except (ValueError, struct.error, OverflowError, Warning) as error:  # from decoding the instructions
            raise FileFormatError(f"truncated or damaged pickle ({shown(error)})") from error

    def _execute(self, name: str, argument: Any) -> None:
        if name in PUSH_ARGUMENT:
            self._push(argument)
        elif name in NEW_OBJECT:
            self._push(NEW_OBJECT[name]())
        elif name in self._steps:
            self._steps[name](argument)
        elif name != "STOP" and name not in NOTHING_TO_DO:
            about = f" {shown(argument)}" if isinstance(argument, str) else ""
            raise FileFormatError(
                f"refused: its pickle has the instruction {name}{about}, which {self._what} does not "
                "need; nothing was run"
            )

    # ---- the stack and the memo ----------------------------------------------------------------------------

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack:
            raise FileFormatError("damaged pickle: it takes more from the stack than it put there")
        return self._stack.pop()

    def _top(self) -> Any:
        value = self._pop()
        self._push(value)
        return value

    def _mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _pop_mark(self) -> list[Any]:
        """Everything above the last MARK."""
        if not self._below:
            raise FileFormatError("damaged pickle: it closes more groups than it opened")
        items, self._stack = self._stack, self._below.pop()
        return items

    def _pop_any(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._pop_mark()

    def _discard(self, _: list[Any]) -> None:
        """The popped values are dropped."""

    def _put(self, index: Any) -> None:
        self._memo[int(index)] = self._top()

    def _get(self, index: Any) -> None:
        if int(index) not in self._memo:
            raise FileFormatError("damaged pickle: it refers to an object that it has not built")
        self._push(self._memo[int(index)])

    # ---- containers ----------------------------------------------------------------------------------------

    def _tuple(self, length: int) -> None:
        items = [self._pop() for _ in range(length)]
        self._push(tuple(reversed(items)))

    def _extend(self, items: list[Any]) -> None:
        if type(self._top()) is Foreign:
            return
        self._expect(self._top(), list).extend(items)

    def _add_items(self, items: list[Any]) -> None:
        if type(self._top()) is Foreign:
            return
        self._expect(self._top(), set).update(map(_key, items))

    def _set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._set_items_of_top([key, value])

    def _set_items_of_top(self, items: list[Any]) -> None:
        target = self._pop()
        if type(target) is Foreign:
            self._set_items(target.entries, items)
            self._stack[-1] = target
        else:
            self._set_items(self._expect(target, *DICTIONARIES), items)

    def _set_items(self, dictionary: dict[Any, Any], items: list[Any]) -> None:
        if len(items) % 2:
            raise FileFormatError("damaged pickle: a dictionary has a key without a value")
        dictionary.update(zip(map(_key, items[::2]), items[1::2], strict=True))
        self._push(dictionary)

    def _expect(self, value: Any, *types: type) -> Any:
        if type(value) not in types:  # a subclass could mean anything by "append"
            raise FileFormatError(f"damaged pickle: it puts items into a {type(value).__name__}")
        return value

    # ---- names and calls -----------------------------------------------------------------------------------

    def _made_by(self, maker: Any = None, *_: Any) -> Any:
        """NEWOBJ and similar instructions: they can make only an object of a foreign class."""
        if type(maker) is not Foreign:
            raise FileFormatError(f"refused: its pickle makes an object of a {type(maker).__name__}; nothing was run")
        return Foreign(maker.name)

    def _look_up(self, name: str) -> Any:
        if name not in self._names and self._foreign:
            return Foreign(name)
        if name not in self._names:
            raise FileFormatError(
                f"refused: it asks for {shown(name)}, and {self._what} needs arrays, containers and "
                f"numbers only; nothing was run{self._advice}"
            )
        return self._names[name]

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise FileFormatError("damaged pickle: a name that is not text")
        self._push(self._look_up(f"{module}.{name}"))

    def _reduce(self, _: Any) -> None:
        arguments, call = self._pop(), self._pop()
        if type(call) is Foreign:
            self._push(self._made_by(call))
            return
        if type(call) is not Call or type(arguments) is not tuple:
            raise FileFormatError(f"refused: its pickle calls a {type(call).__name__}; nothing was run")
        self._count_copies(arguments)
        try:
            self._push(call.function(*arguments))
        except (TypeError, AttributeError) as error:
            raise FileFormatError("damaged pickle: a call with arguments that do not fit") from error

    def _build(self, _: Any) -> None:
        state, target = self._pop(), self._top()
        if type(target) is Foreign:
            return
        for kind, builder in self._builders.items():
            if isinstance(target, kind):
                self._count_copies(state)
                builder(target, state)
                return
        raise FileFormatError(f"refused: its pickle sets the inner state of a {type(target).__name__}")

    def _count_copies(self, arguments: Any) -> None:
        """Charge what a call can copy: the lengths of its arguments."""
        items = arguments if isinstance(arguments, tuple) else (arguments,)
        self._may_copy -= sum(len(item) for item in items if isinstance(item, SIZED))
        if self._may_copy < 0:
            raise FileFormatError("refused: its pickle copies the same data over and over")


def _key(value: Any) -> Any:
    """``value`` if it may be a dictionary key or set member."""
    if type(value) is Foreign:  # hashed by identity
        return value
    if type(value) not in KEYS or (type(value) is int and not -MAX_INTEGER_KEY <= value < MAX_INTEGER_KEY):
        raise FileFormatError(f"refused: its pickle uses a {type(value).__name__} as a dictionary key or set member")
    return value
