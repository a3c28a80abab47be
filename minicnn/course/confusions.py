"""What mutation operators confuse: tables of operations, comparisons, functions and words; and the names in a hole."""

from __future__ import annotations

import ast
import copy
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef
Change = tuple[dict[ast.AST, ast.AST], str]  # what stands in the place of which nodes, and the sentence

OPERATIONS: dict[type[ast.AST], tuple[str, tuple[type[ast.AST], ...]]] = {  # in words, and what it is taken for
    ast.Add: ("addition", (ast.Sub, ast.Mult)),
    ast.Sub: ("subtraction", (ast.Add,)),
    ast.Mult: ("multiplication", (ast.Add, ast.Div)),
    ast.Div: ("division", (ast.Mult, ast.FloorDiv)),
    ast.FloorDiv: ("floor division", (ast.Div, ast.Mult, ast.Mod)),
    ast.Mod: ("remainder", (ast.FloorDiv,)),
    ast.Pow: ("power", (ast.Mult,)),
    ast.MatMult: ("matrix product", (ast.Mult,)),
    ast.BitOr: ("'or' of arrays", (ast.BitAnd,)),
    ast.BitAnd: ("'and' of arrays", (ast.BitOr,)),
}
COMPARISONS: dict[type[ast.AST], tuple[str, tuple[type[ast.AST], ...]]] = {
    ast.Lt: ("less than", (ast.LtE, ast.Gt)),
    ast.LtE: ("at most", (ast.Lt, ast.GtE)),
    ast.Gt: ("greater than", (ast.GtE, ast.Lt)),
    ast.GtE: ("at least", (ast.Gt, ast.LtE)),
    ast.Eq: ("equal", (ast.NotEq,)),
    ast.NotEq: ("different", (ast.Eq,)),
    ast.Is: ("the same", (ast.IsNot,)),
    ast.IsNot: ("not the same", (ast.Is,)),
    ast.In: ("among", (ast.NotIn,)),
    ast.NotIn: ("not among", (ast.In,)),
}
FUNCTION_TWINS = (
    "sum mean", "sum max", "mean max", "max min", "maximum minimum", "argmax argmin", "zeros ones",
    "zeros_like ones_like", "floor ceil", "floor round", "ceil round", "int ceil", "int round", "any all",
    "cumsum cumprod",
    "sqrt square", "log log2", "exp exp2", "tanh arctan", "sigmoid tanh", "sigmoid relu", "silu relu",
    "conv1x1 conv3x3", "MaxPool2d AvgPool2d", "add subtract", "prod sum", "var std", "median mean",
    "product permutations", "swapaxes reshape", "comb perm", "values keys",
    "named_parameters named_buffers", "append extend", "zeros_ ones_", "isfinite isnan", "broadcast_to resize",
)  # fmt: skip
WORD_TWINS = (
    "x y", "a b", "i j", "h w", "p q", "n c", "k n", "height width", "rows columns", "row column", "up down",
    "west east", "above below", "left right", "top left", "below right", "in out", "low high", "first last",
    "min max", "weight bias", "mean variance", "before after", "stride dilation", "kernel stride", "input output",
    "size jump", "x dx", "dy dx", "real fake", "logits target", "images targets", "costs accuracies", "price gain",
    "channels width", "stride padding", "dilation padding",
)  # fmt: skip
AXES = {
    "shape": ("the number of images", "the number of channels", "the height", "the width"),
    **{
        name: (f"the {name} along the height", f"the {name} along the width")
        for name in ("stride", "padding", "dilation", "kernel_size", "out_size")
    },
}
MODULES = ("np", "xp", "F", "nn", "functional", "math", "backend", "init")
SYMMETRIC = ("max", "min", "maximum", "minimum", "add", "residual_add", "swapaxes", "transpose")  # with two arguments
LAYOUT = ("ascontiguousarray", "contiguous")  # how an array lies in memory is no mistake
ERRORS = ("ValueError", "TypeError")


def _pairs(table: tuple[str, ...]) -> dict[str, list[str]]:
    """Both ways: ``{"sum": ["mean"], "mean": ["sum"]}``."""
    found: dict[str, list[str]] = {}
    for entry in table:
        one, other = entry.split()
        found.setdefault(one, []).append(other)
        found.setdefault(other, []).append(one)
    return found


FUNCTIONS, WORDS = _pairs(FUNCTION_TWINS), _pairs(WORD_TWINS)


@dataclass(frozen=True)
class Scope:
    """A hole's function: who stands where, and which names and strings there are."""

    function: Function

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {part: node for node in ast.walk(self.function) for part in ast.iter_child_nodes(node)}

    @cached_property
    def parameters(self) -> dict[str, str]:
        """Name -> annotation, without ``self`` and ``ctx``."""
        args = self.function.args
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg,))]
        return {a.arg: ast.unparse(a.annotation or ast.Constant(None)) for a in every if a.arg not in ("self", "ctx")}

    @cached_property
    def kinds(self) -> dict[str, set[str]]:
        """Parameter -> the words of its annotation; what an operation on the tape is given are arrays."""
        tape = "ctx" in {arg.arg for arg in self.function.args.args}
        found = {name: set(re.findall(r"\w+", kind)) for name, kind in self.parameters.items()}
        return {name: {"ndarray"} if tape and words == {"Any"} else words for name, words in found.items()}

    @cached_property
    def bound(self) -> dict[str, int]:
        """Name -> the line from which on it has a value."""
        lines = dict.fromkeys(self.parameters, self.function.lineno)
        for node in ast.walk(self.function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                lines[node.id] = min(node.lineno, lines.get(node.id, node.lineno))
        return lines

    @cached_property
    def attributes(self) -> set[tuple[str, str]]:
        """(object, attribute) for all that are used."""
        return {(ast.unparse(n.value), n.attr) for n in ast.walk(self.function) if isinstance(n, ast.Attribute)}

    @cached_property
    def strings(self) -> list[str]:
        """The strings of its body, but for messages."""
        raised = {part for n in ast.walk(self.function) if isinstance(n, ast.Raise) for part in ast.walk(n)}
        nodes = (n for n in ast.walk(self.function) if n not in raised and isinstance(n, ast.Constant))
        return sorted({n.value for n in nodes if isinstance(n.value, str)})

    def mates(self, name: str) -> set[str]:
        """The names that are assigned in one tuple with ``name``."""
        tuples = (n for n in ast.walk(self.function) if isinstance(n, ast.Tuple) and isinstance(n.ctx, ast.Store))
        groups = ({part.id for part in ast.walk(each) if isinstance(part, ast.Name)} for each in tuples)
        return {mate for group in groups if name in group for mate in group}


def altered(node: ast.AST, **fields: Any) -> Any:
    """A copy of a node with other fields."""
    made = copy.copy(node)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def called(node: ast.Call) -> str:
    """The name of what is called."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "a call")


#: What a parameter is at the start of a function: by a word in its annotation, the expression and the sentence.
BEFORE = (
    ("int", "1", "{0} were always 1"),
    ("int", "2", "{0} were always 2"),
    ("float", "1.0", "{0} were always 1"),
    ("float", "0.0", "{0} were always 0"),
    ("float", "1 - {0}", "1 - {0} stood where {0} belongs"),
    ("bool", "True", "{0} were always True"),
    ("bool", "False", "{0} were always False"),
    ("None", "None", "{0} were left out"),
    ("Window", "{0}._replace(stride=(1, 1))", "the stride were ignored"),
    ("Window", "{0}._replace(dilation=(1, 1))", "the dilation were ignored"),
    ("Window", "{0}._replace(padding=((0, 0), (0, 0)))", "the padding were ignored"),
    ("Window", "{0}._replace(stride={0}.stride[::-1])", "the strides along height and width were exchanged"),
    ("Window", "{0}._replace(dilation={0}.dilation[::-1])", "the dilations along height and width were exchanged"),
    ("Window", "{0}._replace(padding={0}.padding[::-1])", "the paddings along height and width were exchanged"),
    ("Window", "{0}._replace(stride={0}.stride[:1] * 2)", "the stride along the height held along the width too"),
    ("Window", "{0}._replace(dilation={0}.dilation[:1] * 2)", "the dilation along the height held along the width too"),
    ("Window", "{0}._replace(padding={0}.padding[:1] * 2)", "the padding along the height held along the width too"),
    ("ndarray", "{0}[..., ::-1, ::-1]", "the last two axes of {0} were flipped"),
    ("ndarray", "{0}.swapaxes(-1, -2)", "the last two axes of {0} were exchanged"),
    ("ndarray", "{0}.swapaxes(0, 1)", "the first two axes of {0} were exchanged"),
    ("ndarray", "{0} * 0 + 1", "{0} were left out"),
    ("Tensor", "{0}.detach()", "{0} were cut off the tape"),
    ("Tensor", "{0}.relu()", "a ReLU were applied to {0}"),
    ("Sequence", "{0}[::-1]", "{0} were read backwards"),
    ("Sequence", "{0}[1:]", "{0} began one entry later"),
    ("Sequence", "{0}[:-1]", "{0} ended one entry earlier"),
    ("Callable", "(lambda f: lambda *a: f(*a[::-1]))({0})", "{0} got its arguments in the opposite order"),
)
#: What becomes of a result where a parameter's annotation has the word ("" for any): the expression and the sentence.
BEHIND = (
    ("", "2 * {0}", "doubled"),
    ("", "{0} / 2", "halved"),
    ("", "-{0}", "of the opposite sign"),
    ("int float", "{0} ** 2", "squared"),
    ("int float", "{0} ** 0.5", "the square root"),
    ("int float", "1 / {0}", "the reciprocal"),
    ("int float", "{0} + 1", "larger by 1"),
    ("int float", "{0} - 1", "smaller by 1"),
    ("ndarray", "{0}.swapaxes(-1, -2)", "with its last two axes exchanged"),
    ("ndarray", "{0}[..., ::-1, ::-1]", "flipped along its last two axes"),
    ("Sequence", "{0}[::-1]", "in the opposite order"),
    ("Tensor", "{0}.relu()", "the ReLU of what it is"),
    ("Tensor", "{0}.detach()", "cut off the tape"),
)
