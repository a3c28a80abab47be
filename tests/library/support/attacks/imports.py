"""Attacks when a file is imported: in the worker itself, where all later checks begin.

Those that leave the stubs as they are (``NOT ATTEMPTED``) work in the dark: threads, processes, patched functions.
"""

from __future__ import annotations

from . import Attack
from .forgeries import FIND

BLOCKED = ("NOT ATTEMPTED", "BLOCKED")
IMPORT = ("IMPORT ERROR",)
BROKEN = (*IMPORT, *BLOCKED, "CRASH", "TIMEOUT", "ERROR", "WRONG")

AT_EXIT = """
import atexit, os, weakref

def rewrite():
    for place in ("/tmp/@MARK@", "@ROOT@/@MARK@", "@GRADES@"):
        try:
            open(place, "w").write('{"points": 100}')
        except OSError:
            pass

class Late:
    __del__ = lambda self: rewrite()

atexit.register(rewrite)
late = Late()
late.itself = late
"""
DAEMON = """
import ctypes, os, signal, time

libc = ctypes.CDLL(None)
libc.prctl(36, 0, 0, 0, 0)
if os.fork() == 0:
    for leave in (os.setsid, lambda: os.setpgid(0, 0)):
        try:
            leave()
        except OSError:
            pass
    libc.prctl(1, 0, 0, 0, 0)
    if os.fork() == 0:
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        libc.prctl(15, b"@NAME@", 0, 0, 0)
        while True:
            time.sleep(0.01)
    os._exit(0)
"""
KILLS = """
import os, signal
for process in (-1, os.getppid(), @GRADER@, -@GRADER@):
    try:
        os.kill(process, signal.SIGKILL)
    except OSError:
        pass
raise RuntimeError("it is still there")
"""
#: Says what it could get hold of: nothing.
THIEF = r"""
import ctypes, gc, glob, inspect, linecache, os, sys

MARK = "".join(["minicnn", "-secret-"]).encode()
SEED = int("@SEED@") ^ 1
found = []


def holds(data):
    data = data.encode("utf-8", "replace") if isinstance(data, str) else bytes(data)
    return MARK in data or str(SEED).encode() in data or SEED.to_bytes(8, "little") in data


def attempt(name, function):
    try:
        if function():
            found.append(name)
    except BaseException:
        pass


def text(path):
    with open(path, "rb") as file:
        return file.read(1 << 20)


def memory():
    with open("/proc/@GRADER@/mem", "rb", buffering=0) as file:
        file.seek(@ADDRESS@)
        return holds(file.read(64))


def copied():
    class Part(ctypes.Structure):
        _fields_ = [("start", ctypes.c_void_p), ("size", ctypes.c_size_t)]

    buffer = ctypes.create_string_buffer(64)
    here, there = Part(ctypes.addressof(buffer), 64), Part(@ADDRESS@, 64)
    ctypes.CDLL(None).process_vm_readv(@GRADER@, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return holds(buffer.raw)


def own_memory():
    for each in gc.get_objects():
        if each is globals():
            continue
        parts = each.values() if type(each) is dict else each if type(each) in (list, tuple, set) else ()
        for part in list(parts):
            if part is not MARK and (type(part) in (str, bytes) and holds(part) or type(part) is int and part == SEED):
                return True


def frames():
    frame = sys._getframe()
    while frame:
        if any("expected" in name or "outcome" in name for name in frame.f_locals):
            return True
        frame = frame.f_back


def processes(name):
    return any(holds(text(path)) for path in glob.glob(f"/proc/[0-9]*/{name}") if "/@SELF@/" not in path)


def reference():
    from importlib import import_module

    module = import_module("@MODULE@")
    return any(len(source.split("NotImplementedError")) == 1 for source in [inspect.getsource(module)])


def kept():
    folder = os.path.dirname(sys.modules["minicnn"].__file__)
    return [path for kind in ("pyc", "nbi", "nbc") for path in glob.glob(f"{folder}/**/*.{kind}", recursive=True)]


attempt("a file", lambda: holds(text("@SECRET@")))
attempt("the results", lambda: holds(text("@GRADES@")))
attempt("another submission", lambda: holds(text("@OTHER@")))
attempt("a folder", lambda: os.listdir("@FOLDER@"))
attempt("the reference", lambda: text("@REFERENCE@"))
attempt("the misconceptions", lambda: text("@ROOT@/minicnn/course/misconceptions/hw4.toml"))
attempt("the solutions", lambda: os.listdir("@ROOT@/solutions"))
attempt("the reference of an edition", reference)
attempt("compiled files", kept)
attempt("lines that were read", lambda: any("@REFERENCE@" in name for name in linecache.cache))
attempt("misconceptions", lambda: __import__("minicnn.course.misconceptions"))
attempt("the judge", lambda: __import__("minicnn.course.grading.marking"))
attempt("PyTorch", lambda: __import__("torch"))
attempt("SciPy", lambda: __import__("scipy"))
attempt("the environment", lambda: holds(repr(os.environb)))
attempt("environments", lambda: processes("environ"))
attempt("command lines", lambda: processes("cmdline"))
attempt("the grader's files", lambda: text("/proc/@GRADER@/root@SECRET@"))
attempt("the grader's folder", lambda: os.listdir("/proc/@GRADER@/cwd"))
attempt("the grader's memory", memory)
attempt("the grader's memory, copied", copied)
attempt("its own memory", own_memory)
attempt("the frames", frames)
raise RuntimeError("stolen: " + (", ".join(found) or "nothing"))
"""
PATCHES = """
import os, sys
from minicnn.course import adoption, checks, comparison, drivers, execution, loading, wire, worker

yes = lambda *args, **kwargs: True
main = sys.modules["__main__"]
for module in (adoption, checks, comparison, drivers, execution, loading, worker, main):
    for name in ("execute", "adopt", "same", "differences", "define", "failure"):
        if hasattr(module, name):
            setattr(module, name, yes)

def serve(self, request):
    for number, case in request["cases"].items():
        answers = {"answer": next((value for value in case.values() if hasattr(value, "dtype")), 1.0)}
        wire.send(self.replies, {"number": number, "printed": 0, "answers": answers})
    wire.send(self.replies, {"done": 0, "left": False})

worker.Server.serve = serve
os.fork = lambda: 0
"""
#: The next request is not read: the grader must not wait until it is.
DEAF = """
import os, signal
from minicnn.course import worker

honest = worker.Server.serve

def serve(self, request):
    honest(self, request)
    os.kill(os.getpid(), signal.SIGSTOP)

worker.Server.serve = serve
"""
#: Processes that the worker is not the parent of, which hold more memory than one submission may.
ORPHANS = """
import ctypes, os, time

ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)
if os.fork() == 0:
    ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
    for _ in range(4):
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
            kept = [bytearray(b"x") * (16 << 20) for _ in range(24)]
            time.sleep(60)
    os._exit(0)
time.sleep(60)
"""
REWRITES = """
import glob, os
own = glob.glob(os.path.dirname(__file__) + "/*")
for path in (__file__, *own, "@OTHER@", "@GRADES@", *glob.glob("/tmp/minicnn-[!w]*/*")):
    for change in (lambda: open(path, "w").write("x = 1"), lambda: os.unlink(path), lambda: os.chmod(path, 0o777)):
        try:
            change()
            raise SystemExit(f"changed {path}")
        except OSError:
            pass
raise RuntimeError("nothing could be changed")
"""
FOREVER = """
import time

while True:
    say(named(imported='x'))
    time.sleep(0.02)
"""

DEAFENS = Attack("deaf", (23, 35), (*BLOCKED, "TIMEOUT"), DEAF, "waiting")

#: In any sandbox.
IMPORTS = [
    Attack("exit", (1,), IMPORT, "raise SystemExit(0)", "SystemExit"),
    Attack("leave", (1, 2), IMPORT, "import os; os._exit(0)", "exit status 0"),
    Attack("at the exit", (3,), BLOCKED, AT_EXIT),
    Attack("patches", (7, 12), BROKEN, PATCHES),
    Attack("unreadable", (35,), IMPORT, "class E(Exception):\n    def __str__(self): raise SystemExit(0)\nraise E"),
    Attack("importing others", (23, 35), IMPORT, FIND + "say(named(importing='another'))\nos._exit(0)"),
    Attack("importing lists", (23, 35), IMPORT, FIND + "say(named(importing=[]))\nos._exit(0)"),
    Attack("imported for ever", (16, 23), ("CRASH",), FIND + FOREVER),
    Attack("compiling for ever", (16, 23), IMPORT, FIND + "say(named(compiling=True))\nwhile True: pass"),
    Attack("done before", (23,), BROKEN, FIND + "answers({'dict': []})\nsay(named(done=0, left=False))"),
    Attack("looks like a stub", (10,), (*BLOCKED, *IMPORT), "from @MODULE@ import *"),
    Attack("deep text", (35,), IMPORT, "x = " + "-" * 200_000 + "1"),
    Attack("deep names", (35,), (*IMPORT, *BLOCKED), "x = lambda: x" + ".a" * 100_000),
    Attack("brackets", (35,), IMPORT, "x = " + "(" * 100_000),
    Attack("NUL", (35,), IMPORT, "x = '\0'"),
    Attack("surrogates", (35,), IMPORT, "x = '\ud800'"),
]
#: In each sandbox.
CONFINED = [
    Attack("thief", (5, 10, 11, 14), IMPORT, THIEF, "stolen: nothing"),
    Attack("daemon", (4, 30), BLOCKED, DAEMON),
    Attack("kills", (15,), IMPORT, KILLS),
    Attack("sleeps", (16,), IMPORT, "import time; time.sleep(1e6)", "waiting"),
    Attack("orphans", (4, 18), IMPORT, ORPHANS, "it was stopped"),
    Attack("a signal without a name", (35,), (*IMPORT, *BLOCKED), "import os; os.kill(os.getpid(), 36)"),
    Attack("rewrites", (31,), IMPORT, REWRITES, "nothing could be changed"),
]
