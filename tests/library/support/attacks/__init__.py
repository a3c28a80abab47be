"""What hostile submissions try, as data: what is handed in, which kind it is of, and what has to become of it.

An attack is a piece of Python that stands in a function of the homework (``calls``, ``forgeries``) or runs when the
file is imported (``imports``), or an archive (``archives``). It earns nothing: what it is worth is what the honest part
of the submission around it earns. Texts between ``@`` are put in by the test: paths, numbers of processes, ports.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from minicnn.course.build import answer, stub
from minicnn.course.holes import fill
from minicnn.course.manifest import homework

#: The kinds, by their numbers.
KINDS = {
    1: "leaving: exit()", 2: "writing results and leaving", 3: "rewriting results at the exit",
    4: "processes that stay", 5: "theft of a secret of the process", 6: "objects that equal everything",
    7: "patched NumPy, builtins and grader", 8: "smuggled configuration of tests", 9: "modules that shadow others",
    10: "importing the reference", 11: "looking at the stack for what is expected",
    12: "patching the reference", 13: "remembering the public cases", 14: "reading the disk and other processes",
    15: "ending the grader", 16: "loops that nothing ends", 17: "as many processes as can be",
    18: "as much memory as can be", 19: "endless output", 20: "filling the disk", 21: "the network",
    22: "pickles in replies", 23: "forged replies", 24: "forged output", 25: "archives that lead outside",
    26: "bombs", 27: "names that look like others", 28: "changed global state", 29: "writing into the arguments",
    30: "threads and handlers that stay", 31: "changing what is graded", 32: "code that knows it is graded",
    33: "hidden inputs in public messages", 34: "markup in messages", 35: "breaking the grader to be graded again",
}  # fmt: skip


@dataclass(frozen=True)
class Attack:
    """One attack.

    Args:
        kinds: numbers among ``KINDS``.
        states: what may become of the checks that it is in, or, at import, of all checks.
        code: Python; of an attack in a function, its body.
        told: what a message says of it.
    """

    name: str
    kinds: tuple[int, ...]
    states: tuple[str, ...]
    code: str
    told: str = ""


def in_functions(owner: str, attacks: Mapping[str, Attack], honest: bool = False) -> dict[str, bytes]:
    """A submission with an attack in each function of some tasks; the others are as in the stub, or right."""
    this = homework(owner)
    files = {}
    for stem in this.modules:
        text = answer(this, stem) if honest else stub(this, stem)
        mine = [hole for hole in this.holes(stem) if hole.task in attacks]
        text = fill(text, {hole.qualname: f"return {_function(hole.task)}()" for hole in mine})
        for task in dict.fromkeys(hole.task for hole in mine):
            text += f"\n\ndef {_function(task)}():\n" + textwrap.indent(attacks[task].code, "    ")
        files[f"{stem}.py"] = text.encode("utf-8", "surrogatepass")
    return files


def at_import(owner: str, attack: Attack, honest: bool = False) -> dict[str, bytes]:
    """A submission whose files end with an attack."""
    this = homework(owner)
    code = "\n\n" + attack.code
    texts = {f"{stem}.py": (answer if honest else stub)(this, stem) + code for stem in this.modules}
    return {name: text.encode("utf-8", "surrogatepass") for name, text in texts.items()}


def _function(task: str) -> str:
    return f"_attack_{task.replace('.', '_')}"
