"""Imports every module of minicnn as on a system without what only POSIX has; prints those that cannot be imported."""

from __future__ import annotations

import importlib
import os
import pkgutil
import signal
import sys

MISSING = {
    os: ("fork", "geteuid", "getuid", "getegid", "getgid", "killpg", "setsid", "sysconf", "sysconf_names",
         "register_at_fork", "sched_getaffinity", "mkfifo", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_PATH"),
    signal: ("SIGKILL", "SIGUSR1", "SIGHUP", "SIGALRM", "SIGPROF", "setitimer", "ITIMER_PROF"),
}  # fmt: skip
MODULES = ("resource", "pwd", "grp", "termios", "tty", "pty")

if __name__ == "__main__":
    import matplotlib.pyplot  # noqa: F401  (what others import is their business)
    import numba.core.typing  # noqa: F401
    import numba.np.ufunc.parallel  # noqa: F401
    import psutil  # noqa: F401
    import pytest  # noqa: F401

    import minicnn

    for module, names in MISSING.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    sys.modules.update(dict.fromkeys(MODULES))
    for found in pkgutil.walk_packages(minicnn.__path__, "minicnn."):
        if found.name.endswith("__main__") or found.name.startswith("minicnn.backend.cuda"):
            continue
        try:
            importlib.import_module(found.name)
        except Exception as error:
            print(found.name, repr(error))
