"""Attacks from inside a function of the homework: each runs in a process of its own, for each check anew."""

from __future__ import annotations

from . import Attack

ERROR, WRONG, CRASH, TIMEOUT, MEMORY = "ERROR", "WRONG", "CRASH", "TIMEOUT", "MEMORY"

EQUAL = """
import numpy as np

class Equal(np.ndarray):
    __eq__ = __ne__ = __le__ = __ge__ = __lt__ = __gt__ = lambda self, other: True
    __array_function__ = __array_ufunc__ = lambda self, *args, **kwargs: True
    __hash__ = None
    __bool__ = lambda self: True
    __getattr__ = lambda self, name: self
    __call__ = lambda self, *args, **kwargs: self

return np.zeros(1).view(Equal)
"""
PATCH = """
import builtins, sys
import numpy as np

yes = lambda *args, **kwargs: True
for module in [np, np.testing, *(m for name, m in list(sys.modules.items()) if name.startswith("minicnn"))]:
    for name in ("allclose", "isclose", "array_equal", "same", "differences", "execute", "failure", "as_answers"):
        if hasattr(module, name):
            setattr(module, name, yes)
builtins.isinstance = yes
return True
"""
RESULTS = """
import json, os

text = json.dumps({"points": 100, "score": 100, "tests": [], "state": "PASS"})
for place in ("results.json", "@MARK@", "/tmp/@MARK@", "/dev/shm/@MARK@", "/var/tmp/@MARK@", "@ROOT@/@MARK@",
              "@GRADES@", "/autograder/results/results.json"):
    try:
        with open(place, "w") as file:
            file.write(text)
    except OSError:
        pass
os._exit(0)
"""
STUBBORN = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""
FORKS = """
import os, time
while True:
    if os.fork() == 0:
        while True:
            try:
                os.fork()
            except OSError:
                time.sleep(0.2)
"""
FILLS = """
import os
block, filled = bytes(1 << 20), 0
for folder in (".", "/tmp", "/var/tmp", "/dev/shm", "@ROOT@", os.path.dirname(__file__), os.path.expanduser("~")):
    for number in range(200):
        try:
            with open(f"{folder}/@MARK@-{number}", "wb") as file:
                for _ in range(64):
                    file.write(block)
                    filled += 1
        except OSError as error:
            break
raise RuntimeError(f"it wrote {'more than ' if filled > @SPACE@ else 'no more than '}its space")
"""
NETWORK = """
import socket
got = []
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    try:
        line = socket.socket(socket.AF_INET, kind)
        line.settimeout(1)
        line.connect(("127.0.0.1", @PORT@))
        line.send(b"a leak")
        got.append(kind.name)
    except OSError:
        pass
raise RuntimeError(f"reached: {got or 'nobody'}")
"""
PICKLE = """
import numpy as np

class Payload:
    def __reduce__(self):
        return exec, ("open('/tmp/@MARK@', 'w')",)

return np.array([Payload()], dtype=object)
"""
PRINTS = """
import sys
for text in ('1 passed', '{"scores": {"hw": 100}}', '::set-output name=result::pass', '\\x1b[2J PASS 100/100', 'PASS'):
    print(text)
    print(text, file=sys.__stderr__)
return None
"""
THREADS = """
import faulthandler, signal, sys, threading, time

for number in range(20):
    threading.Thread(target=time.sleep, args=(60,), daemon=number % 2 == 0).start()
for number in range(1, 32):
    try:
        signal.signal(number, lambda *_: None)
    except (OSError, ValueError):
        pass
faulthandler.disable()
faulthandler.cancel_dump_traceback_later()
sys.settrace(lambda *_: None)
sys.setswitchinterval(1e-6)
return None
"""
AWARE = """
import os, sys
modules = ("pytest", "_pytest", "minicnn.course.grading", "minicnn.course.naming")
signs = [name for name in modules if name in sys.modules]
signs += [name for name in os.environ if "PYTEST" in name or "MINICNN" in name or name.startswith("GITHUB")]
signs += [word for word in sys.argv if "pytest" in word]
raise RuntimeError(f"signs of a grader: {signs or 'none'}")
"""
MARKUP = """
formula, link = "=cmd|' /C calc'!A0", "[x](javascript:alert(1))"
raise RuntimeError(f"{formula} <script>alert(1)</script> {link} \\x1b[31m\\x9b2J \\u202e ``` ]]>")
"""
UNREADABLE = """
class Odd(Exception):
    def __str__(self):
        raise SystemExit(0)
    __repr__ = __str__
    __class__ = property(lambda self: 1 / 0)

raise Odd
"""
LONG = """
raise type("A" * 100_000, (Exception,), {})("\\ud800\\0" + "x" * 10_000_000 + "\\nPASS")
"""
DEEP = """
import sys, threading
sys.setrecursionlimit(10**9)
def deeper(n):
    return deeper(n + 1) + 1
return deeper(0)
"""
STATE = """
import numpy as np, os, random, sys, warnings
import minicnn
from minicnn import Tensor

np.random.seed(0); random.seed(0); np.seterr(all="raise"); np.set_printoptions(precision=0)
warnings.simplefilter("error"); sys.setrecursionlimit(50); os.chdir("/")
np.add = np.multiply = np.matmul = np.zeros = lambda *args, **kwargs: 0
Tensor.__add__ = Tensor.reshape = Tensor.backward = lambda *args, **kwargs: None
return None
"""

LEAVES = Attack("exit", (1,), (ERROR,), "raise SystemExit(0)", "SystemExit")
MUTATES = Attack("arguments", (29,), (WRONG,), """
import sys
caller = sys._getframe(1).f_locals
for value in caller.values():
    array = getattr(value, "array", value)
    if hasattr(array, "fill"):
        array.fill(0)
return next((value for value in caller.values() if hasattr(value, "shape")), None)
""")  # fmt: skip

#: All of them, in any sandbox.
CALLS = [
    LEAVES,
    Attack("results", (2, 20), (CRASH,), RESULTS, "exit status 0"),
    Attack("equal", (6,), (WRONG, ERROR), EQUAL),
    Attack("patch", (7, 12), (WRONG, ERROR, CRASH), PATCH),
    MUTATES,
    Attack("pickle", (22,), (WRONG, ERROR), PICKLE),
    Attack("prints", (24,), (WRONG, ERROR), PRINTS),
    Attack("threads", (30,), (WRONG, ERROR), THREADS),
    Attack("aware", (32,), (ERROR,), AWARE, "signs of a grader: none"),
    Attack("markup", (34,), (ERROR,), MARKUP, "script"),
    Attack("unreadable", (35,), (CRASH, ERROR), UNREADABLE),
    Attack("long", (35,), (ERROR,), LONG),
    Attack("deep", (35,), (CRASH, ERROR, MEMORY, TIMEOUT), DEEP),
    Attack("generator", (35,), (ERROR,), "raise GeneratorExit", "GeneratorExit"),
    Attack("interrupt", (35,), (ERROR,), "raise KeyboardInterrupt", "KeyboardInterrupt"),
    Attack("descriptors", (23, 35), (CRASH, ERROR), "import os; os.closerange(0, 1024)"),
    Attack("exec", (35,), (CRASH,), "import os, sys; os.execv(sys.executable, ['python', '-V'])"),
    Attack("state", (28,), (WRONG, ERROR), STATE),
]
#: What the sandbox and the limits are for: in each sandbox.
CONFINED = [
    Attack("stubborn", (16,), (TIMEOUT,), STUBBORN, "stopped after"),
    Attack("sleeps", (16,), (TIMEOUT,), "import time; time.sleep(1e6)", "waiting"),
    Attack("stops", (16,), (TIMEOUT,), "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "waiting"),
    Attack("forks", (17,), (TIMEOUT, ERROR, CRASH, MEMORY), FORKS),
    Attack("memory", (18,), (MEMORY,), "import numpy\nreturn [numpy.zeros(64 << 20, 'u1') for _ in range(1000)]"),
    Attack("output", (19,), (ERROR, CRASH), "while True: print('x' * 65536)"),
    Attack("fills", (20,), (ERROR, CRASH), FILLS),
    Attack("network", (21,), (ERROR,), NETWORK, "reached: nobody"),
]
