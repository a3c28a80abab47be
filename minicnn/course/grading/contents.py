"""What is in a submission: the homework's files, whatever the nesting, the names and the encodings, as text."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from functools import partial

from ...serialization.source import shown
from ..manifest import Homework
from .unpacking import UNREADABLE, Budget, Refused, Tree, is_archive

NESTING = 2  # archives in archives: a student who zips a zip
LONGEST_FILE = 1 << 20  # bytes of Python that a person may have written
MOST_HELPERS = 50

# What browsers, systems and people add to a file's name.
COPY = r"(?:copy of )?{stem}(?:[ _-]*\(\d+\)|[ _-]\d+|[ _-]+copy(?:[ _-]*\(?\d+\)?)?|[ _-]+final)?\s*\.py(?:\.txt)?"
# Python and pytest read these by themselves.
UNWANTED_HELPERS = sys.stdlib_module_names | {"numpy", "minicnn", "conftest", "setup", "sitecustomize", "usercustomize"}
TEXT_ENCODINGS = re.compile(
    r"utf-?8(-sig)?|(us-)?ascii|latin-?1|iso-?8859-?\d+|(cp|windows-)(125\d|437|850|852|866|932|936|949|950)"
    r"|gbk|gb2312|gb18030|big5|euc-(jp|kr|cn)|shift-jis|koi8-[ru]"
)
CODING = re.compile(rb"\A((?:[ \t\f\r]*(?:#[^\n]*)?\n)??[ \t\f]*#[^\n]*?coding[:=][ \t]*)([-\w.]+)")
BYTE_ORDER_MARKS = {  # the longest first
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}

Reader = Callable[[], bytes]


def contents(tree: Tree, homework: Homework, notes: list[str]) -> dict[str, bytes]:
    """The stub files and their helpers, as text for Python. Raises Refused when a person has to look at it."""
    readers: dict[str, Reader] = {}
    _flatten(tree, Budget(), readers, notes)
    chosen = {stem: _choose(stem, readers, homework, notes) for stem in homework.modules}
    files = {
        f"{stem}.py": _python(readers[where](), f"{stem}.py", notes)
        for stem, where in chosen.items()
        if where is not None
    }
    if len(files) < len(homework.modules):
        _from_notebooks(readers, homework, files, notes)
    if not files:
        wanted, there = ", ".join(f"{stem}.py" for stem in homework.modules), sorted(readers)
        listed = ", ".join(map(shown, there[:8])) + f" and {len(there) - 8} more" * (len(there) > 8)
        raise Refused(f"none of {wanted} is in it; it holds {listed or 'no file'}" + "".join(f"; {n}" for n in notes))
    notes += [f"{stem}.py is not in it" for stem in homework.modules if f"{stem}.py" not in files]
    _add_helpers(readers, [where for where in chosen.values() if where is not None], files, notes)
    return files


def _flatten(
    tree: Tree, budget: Budget, readers: dict[str, Reader], notes: list[str], at: str = "", deep: int = 0
) -> None:
    """Collect the files of a tree and of the archives in it. An archive that is refused is left out and noted."""
    for name, fault in tree.faults.items():
        others = f" ({len(tree.faults)} such files)" if len(tree.faults) > 1 else ""
        raise Refused(f"{shown(at + name)} {fault}{others}")
    if len(tree.files) + len(readers) > budget.limits.files:
        raise Refused(f"it holds more than {budget.limits.files} files")
    for name in tree.files:
        if is_archive(name) and deep < NESTING:
            try:
                _flatten(tree.unpack(name, budget), budget, readers, notes, f"{at}{name}/", deep + 1)
            except Refused as error:
                notes.append(f"an archive is left out: {error}")
        elif is_archive(name) or name.lower().endswith(UNREADABLE):
            notes.append(f"{shown(at + name)} is not unpacked")
        else:
            readers[at + name] = partial(tree.read, name, budget)


def meant(name: str, homework: Homework) -> list[str]:
    """The stub files that a file's name may mean."""
    base = _folded(os.path.basename(name)) if ".py" in name.lower() else ""
    return [stem for stem in homework.modules if _odd(stem).fullmatch(base) or _looks_like(base, f"{stem}.py")]


def _odd(stem: str) -> re.Pattern[str]:
    return re.compile(COPY.format(stem=re.escape(stem.casefold())))


def _folded(name: str) -> str:
    """A name as a person sees it: case and invisible characters do not count."""
    return "".join(c for c in name if unicodedata.category(c) not in ("Cf", "Cc")).casefold().strip()


def _looks_like(base: str, wanted: str) -> bool:
    """Whether only letters of other alphabets tell the two apart."""
    pairs = list(zip(base, wanted, strict=False))
    return len(base) == len(wanted) and not base.isascii() and all(a == b or not a.isascii() for a, b in pairs)


def _rank(name: str, stem: str, homework: Homework) -> int | None:
    """How near a file is to where it belongs, 0 is best; None for the library's own and other homework's files."""
    parts = name.split("/")[:-1]
    module = homework.modules[stem].replace(".", "/") + ".py"
    others = (re.fullmatch(r"(hw\d+)(_\w+)?", part) for part in parts)
    if f"/{name}".endswith(f"/{module}") or "solutions" in parts or any(o and o[1] != homework.id for o in others):
        return None
    if parts[-2:] == ["assignments", homework.folder]:
        return 0
    return 1 if parts[-1:] == [homework.folder] else 2 if {homework.folder, homework.id} & set(parts) else 3


def _choose(stem: str, readers: Mapping[str, Reader], homework: Homework, notes: list[str]) -> str | None:
    """Where the file for a stub is; None if it is missing. Raises Refused if two differ and nothing tells which."""
    wanted = f"{stem}.py"
    python = [name for name in readers if ".py" in name.lower()]
    ranked = {name: rank for name in python if (rank := _rank(name, stem, homework)) is not None}
    exact = [name for name in ranked if os.path.basename(name) == wanted]
    alike = [name for name in ranked if name not in exact and stem in meant(name, homework)]
    pool = exact or alike
    nearest = [name for name in pool if ranked[name] == min(ranked[each] for each in pool)]
    if not nearest:
        return None
    if len(nearest) > 1 and len({readers[name]() for name in nearest}) > 1:
        raise Refused(f"it holds different files for {wanted}: {' and '.join(map(shown, nearest[:4]))}")
    others = [name for name in (*exact, *alike) if name not in nearest and not (exact and _is_helper(name, wanted))]
    if others or not exact:
        not_these = f", not {', '.join(map(shown, others[:4]))}" if others else ""
        notes.append(f"{shown(nearest[0])} is taken for {wanted}{not_these}")
    return nearest[0]


def _is_helper(name: str, wanted: str) -> bool:
    """Whether a file that is called nearly like a stub, ``conv_2.py``, can be a module of its own."""
    base = os.path.basename(name)
    return base.isascii() and base.removesuffix(".py").isidentifier() and base.lower() != wanted.lower()


def _add_helpers(readers: Mapping[str, Reader], stubs: list[str], files: dict[str, bytes], notes: list[str]) -> None:
    """The student's own modules, which lie beside the stub files."""
    folders, names = {os.path.dirname(where) for where in stubs}, {name.lower() for name in files}
    for name in sorted(readers.keys() - set(stubs)):
        folder, base = os.path.split(name)
        stem = base.removesuffix(".py")
        plain = base.endswith(".py") and stem.isascii() and stem.isidentifier()
        if folder not in folders or not plain or base.lower() in names:
            continue
        if stem in UNWANTED_HELPERS or base.lower() in {each.lower() for each in files}:
            notes.append(f"{shown(name)} is left out: Python has a module of this name, or there are two")
        elif len(files) > MOST_HELPERS:
            raise Refused(f"it holds more than {MOST_HELPERS} Python files beside the homework's")
        else:
            files[base] = _python(readers[name](), base, notes)


def _from_notebooks(
    readers: Mapping[str, Reader], homework: Homework, files: dict[str, bytes], notes: list[str]
) -> None:
    """Code cells that define the holes of exactly one stub file become that file."""
    for name in sorted(each for each in readers if each.endswith(".ipynb")):
        try:
            code = _cells(json.loads(readers[name]().decode("utf-8-sig")))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            notes.append(f"{shown(name)} is not a notebook that can be read")
            continue
        defined = {
            hole.stem
            for hole in homework.holes()
            if re.search(rf"^(?:async )?(?:def|class) {hole.qualname.partition('.')[0]}\b", code, re.MULTILINE)
        }
        if len(defined) == 1 and not (files.keys() & {f"{stem}.py" for stem in defined}):
            (stem,) = defined
            files[f"{stem}.py"] = _python(code.encode("utf-8", errors="surrogatepass"), f"{stem}.py", notes)
            notes.append(f"{stem}.py is made of the code cells of {shown(name)}")
        else:
            why = f"defines functions of {', '.join(sorted(defined))}" if defined else "defines none of the functions"
            notes.append(f"{shown(name)} is left out: it {why}")


def _cells(notebook: Mapping[str, list[Mapping[str, str | list[str]]]]) -> str:
    """The code of a notebook, without the lines that only Jupyter understands."""
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell.get("cell_type") == "code"]
    kept = [source for source in sources if not re.match(r"\s*%%(?!time|capture)", source)]
    lines = (line for source in kept for line in (*source.splitlines(), ""))
    return "\n".join(line for line in lines if not re.match(r"\s*[%!?]", line)) + "\n"


def _python(data: bytes, name: str, notes: list[str]) -> bytes:
    """A file as UTF-8 with ``\\n``, and notes on what it was before. Raises Refused for what is no text."""
    if len(data) > LONGEST_FILE:
        raise Refused(f"{name} is too large for a file of Python: {len(data)} bytes")
    coding = CODING.match(data)
    declared = coding[2].decode().lower().replace("_", "-") if coding else "utf-8"
    if not TEXT_ENCODINGS.fullmatch(declared):
        raise Refused(f"{name} declares the encoding {declared!r}, which is not one of text")
    marked = [each for mark, each in BYTE_ORDER_MARKS.items() if data.startswith(mark)][:1]
    halves = {"utf-16-le": data[1::2], "utf-16-be": data[::2]}
    marked = marked or [each for each, zeros in halves.items() if 2 * zeros.count(0) > len(zeros)]
    for encoding in marked or [declared, "utf-8", "cp1252", "latin-1"]:
        try:
            text = data.decode(encoding)
            break
        except (UnicodeDecodeError, LookupError):
            continue
    else:
        raise Refused(f"{name} is not text")
    if "\0" in text:
        raise Refused(f"{name} is not text: it holds NUL bytes")
    odd = [encoding.upper().replace("-SIG", " with a byte order mark")] if marked or not data.isascii() else []
    odd = [each for each in odd if each not in ("UTF-8", "UTF8")]
    odd += ["CRLF line ends" if "\r\n" in text else "CR line ends"] if "\r" in text else []
    if odd:
        notes.append(f"{name} was {' with '.join(odd)} and is read as UTF-8")
    plain = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    if not text.strip():
        notes.append(f"{name} is empty")
    return CODING.sub(rb"\1utf-8", plain)
