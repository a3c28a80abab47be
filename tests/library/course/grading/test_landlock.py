"""Landlock by itself: what is named stays allowed, all else is not, for this kernel's version and for older ones."""

from __future__ import annotations

import ctypes
import json
import socket
import subprocess
import sys

import pytest

from minicnn.course.grading import landlock

pytestmark = pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")

# Takes: the folder of landlock.py, the rules, the version, and attempts, each an expression. Prints what each did.
CONFINED = """
import ctypes, json, os, socket, sys
sys.path.insert(0, sys.argv[1])
import landlock
rules, interface, attempts = map(json.loads, sys.argv[2:5])
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
landlock.restrict(rules, interface)
for attempt in attempts:
    try:
        eval(attempt)
        print("done")
    except OSError as error:
        print(error.strerror)
"""


def tried(attempts, rules, interface):
    folder = landlock.__file__.rpartition("/")[0]
    argv = [sys.executable, "-I", "-S", "-c", CONFINED, folder, *map(json.dumps, (rules, interface, attempts))]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]


@pytest.fixture
def folder(tmp_path):
    for name in ("open/read", "open/write", "closed/read"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    return tmp_path


@pytest.mark.parametrize("interface", range(1, landlock.version() + 1))
def test_what_is_named_is_allowed_and_nothing_else(folder, interface):
    rules = [
        (f"{folder}/open", landlock.READ),
        (f"{folder}/open/write", landlock.WRITE),
        (f"{folder}/no", landlock.READ),
    ]
    assert (
        tried(
            [
                f"open('{folder}/open/read').read()",
                f"os.listdir('{folder}/open')",
                f"open('{folder}/open/write', 'w')",
                f"open('{folder}/closed/read')",
                f"os.listdir('{folder}')",
                f"open('{folder}/open/read', 'r+')",
                f"open('{folder}/open/new', 'w')",
                f"os.unlink('{folder}/open/read')",
                f"os.mkdir('{folder}/open/more')",
                f"os.symlink('a', '{folder}/open/link')",
            ],
            rules,
            interface,
        )
        == ["done"] * 3 + ["Permission denied"] * 7
    )


@pytest.mark.parametrize(("interface", "said"), [(2, "done"), (3, "Permission denied")])
def test_truncating_is_refused_since_version_3(folder, interface, said):
    if landlock.version() < 3:
        pytest.skip("this kernel's Landlock is older")
    assert tried([f"os.truncate('{folder}/closed/read', 1)"], [], interface) == [said]


@pytest.mark.parametrize(("interface", "said"), [(3, "done"), (4, "Permission denied")])
def test_tcp_is_refused_since_version_4(interface, said):
    if landlock.version() < 4:
        pytest.skip("this kernel's Landlock is older")
    assert tried(["socket.socket().bind(('127.0.0.1', 0))"], [], interface) == [said]


@pytest.mark.parametrize(("interface", "said"), [(5, "done"), (6, "Operation not permitted")])
def test_signals_and_abstract_sockets_are_refused_since_version_6(interface, said):
    if landlock.version() < 6:
        pytest.skip("this kernel's Landlock is older")
    connecting = "socket.socket(socket.AF_UNIX).connect({!r})"
    with socket.socket(socket.AF_UNIX) as line:
        line.bind("\0minicnn-test-landlock")
        line.listen()
        attempts = ["os.kill(os.getppid(), 0)", connecting.format("\0minicnn-test-landlock")]
        assert tried(attempts, [], interface) == [said] * 2


def test_what_the_kernel_refuses_is_an_error_that_says_which_call():
    code = CONFINED.replace("ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)", "os.geteuid() or os.seteuid(1)")
    argv = [sys.executable, "-I", "-S", "-c", code, landlock.__file__.rpartition("/")[0], "[]", "1", "[]"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode and "Landlock (call 446): Operation not permitted" in done.stderr


def test_no_landlock_is_an_error(monkeypatch):
    monkeypatch.setattr(landlock, "version", lambda: 0)
    with pytest.raises(OSError, match="no Landlock"):
        landlock.restrict([], 6)


def test_the_structures_are_the_kernels():
    assert ctypes.sizeof(landlock._Ruleset) == 24 and ctypes.sizeof(landlock._Beneath) == 12
