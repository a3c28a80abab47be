"""What in a submission a person may want to look at. It changes no grade: the cell is what keeps code in."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

#: Modules and functions that no homework needs.
UNUSUAL = {
    "atexit", "builtins", "ctypes", "faulthandler", "gc", "http", "importlib", "inspect", "marshal", "mmap",
    "multiprocessing", "pickle", "ptrace", "requests", "resource", "runpy", "signal", "socket", "ssl", "subprocess",
    "threading", "urllib",
    "__import__", "_exit", "_getframe", "eval", "exec", "fork", "kill", "settrace", "sys", "system",
}  # fmt: skip
MOST = 10  # flags of a submission


def flags(files: Mapping[str, bytes]) -> list[str]:
    """``uses subprocess (resnet.py:3)`` for each unusual thing, the first of each kind and file."""
    found: dict[tuple[str, str], int] = {}
    for name, content in files.items():
        for used, line in _used(content):
            found.setdefault((name, used), line)
    return [f"uses {used} ({name}:{line})" for (name, used), line in found.items()][:MOST]


def _used(content: bytes) -> Iterator[tuple[str, int]]:
    try:
        nodes = list(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # told when it is imported
        return
    for node in nodes:
        for name in _names(node):
            parts = name.split(".")
            if unusual := UNUSUAL.intersection(parts):
                yield min(unusual), getattr(node, "lineno", 1)
            elif parts[:2] == ["minicnn", "course"]:
                yield "minicnn.course", getattr(node, "lineno", 1)


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(f"{node.module}.{each.name}" for each in node.names)]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    return [node.id] if isinstance(node, ast.Name) else []
