"""Landlock: a process gives up, for itself and all that it starts, whatever files and sockets are not named here.

https://docs.kernel.org/userspace-api/landlock.html. It imports nothing of minicnn: ``confined`` loads it by its path.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEVICE = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEVICE  # the others are of folders only
READ = EXECUTE | READ_FILE | READ_DIR
WRITE = READ_FILE | WRITE_FILE | TRUNCATE
# How many kinds of access to files, of ports and of scopes each version knows: all of them are taken away.
FILES = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
PORTS = {4: 2}  # binding and connecting, by TCP only
SCOPES = {6: 2}  # abstract Unix sockets, signals

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "ports", "scopes")]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("access", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def version() -> int:
    """The version of Landlock's interface that this kernel has, 0 for none."""
    return 0 if _libc is None else max(0, _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def restrict(rules: Iterable[tuple[str, int]], interface: int) -> None:
    """Take away from this process all access to files but what is named, all TCP, and what the scopes cover.

    ``no_new_privs`` has to be set before.

    Args:
        rules: paths and what stays allowed to do with them and, of folders, with all beneath them (``READ``, ...).
        interface: use no more than this version has.

    Raises:
        OSError: if the kernel has no Landlock or does not accept the rules.
    """
    interface = min(interface, version())
    if not interface:
        raise OSError("this kernel has no Landlock, or it is off")
    files, ports, scopes = (_all(kinds, interface) for kinds in (FILES, PORTS, SCOPES))
    handled = _Ruleset(files, ports, scopes)
    size = 24 if scopes else 16 if ports else 8  # an older kernel accepts no longer one
    ruleset = _call(CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(size), 0)
    for path, access in rules:
        try:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        allowed = access & files & (-1 if os.path.isdir(path) else OF_FILES)
        _call(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(_Beneath(allowed, parent)), 0)
        os.close(parent)
    _call(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _all(kinds: dict[int, int], interface: int) -> int:
    return (1 << max((count for since, count in kinds.items() if since <= interface), default=0)) - 1


def _call(number: int, *arguments: object) -> int:
    assert _libc is not None
    result = _libc.syscall(number, *arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock (call {number}): {os.strerror(error)}")
    return result
