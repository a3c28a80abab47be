"""Each way to confine a worker that this machine has: the canary gets nowhere in it, and where one thing is left out of
it, or all, the canary says so."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import select
import signal
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from minicnn.course.grading import landlock
from minicnn.course.grading import sandbox as sandboxes
from minicnn.course.grading.sandbox import BUBBLEWRAP, LANDLOCK, NAMESPACES, NONE, SANDBOXES, NoSandbox, Room, lay_out

if sys.platform != "linux":
    pytest.skip("workers are confined on Linux only", allow_module_level=True)

from minicnn.course.grading import canary, confined

MEGABYTE = 1 << 20
by_name = pytest.mark.parametrize("sandbox", SANDBOXES, ids=lambda sandbox: sandbox.name)


# What each needs of the machine, tried without our code.
USERS = () if os.geteuid() == 0 else ("--user", "--map-current-user")
NEEDS = {
    "bubblewrap": ("bwrap", "--ro-bind", "/", "/", "--size", "4096", "--tmpfs", "/tmp", "--unshare-all", "true"),
    "namespaces": ("unshare", *USERS, "--net", "--ipc", "--pid", "--uts", "--fork", "true"),
    "landlock": ("true",),
}


@functools.cache
def lacking(name):
    """Why this machine cannot have a sandbox, empty if it can."""
    if name != "bubblewrap" and landlock.version() < 3:
        return "the kernel has no Landlock, or an old one"
    try:
        done = subprocess.run(NEEDS.get(name, "true"), capture_output=True, text=True, timeout=30)
    except FileNotFoundError as error:
        return str(error)
    return done.stderr


@pytest.fixture(scope="module")
def failures():
    """What the canary could do in a sandbox; skips where it cannot be had."""
    found = {}

    def ask(sandbox):
        if reason := lacking(sandbox.name):
            pytest.skip(f"{sandbox.name}: {reason}")
        if sandbox not in found:
            found[sandbox] = sandboxes.probe(sandbox)
        return found[sandbox]

    return ask


@pytest.fixture
def room(tmp_path):
    (tmp_path / "output").touch()
    return Room((), tmp_path, {"NAME": "value"}, 512 * MEGABYTE, 16, MEGABYTE, 20)


def start(sandbox, room, code, *arguments):
    argv = [sys.executable, "-I", "-S", "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(
        sandbox.command(argv, room), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def printed(sandbox, room, code, *arguments):
    process = start(sandbox, room, code, *arguments)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    return output.strip()


def is_over(process):
    """Whether nobody holds the standard output any more."""
    return bool(select.select([process.stdout], [], [], 5)[0]) and process.stdout.read() == ""


# ---- the canary ------------------------------------------------------------------------------------------------------


@by_name
def test_the_canary_gets_nowhere(sandbox, failures):
    assert failures(sandbox) == []


@dataclasses.dataclass(frozen=True)
class Nothing(sandboxes.Sandbox):
    """No sandbox at all, not even limits."""

    def command(self, argv, room):
        return list(argv)


@pytest.fixture(scope="module")
def unconfined():
    return sandboxes.probe(Nothing("nothing"))


@pytest.mark.parametrize("attempt", canary.ATTEMPTS)
def test_the_canary_does_what_is_not_prevented(attempt, unconfined):
    yama = Path("/proc/sys/kernel/yama/ptrace_scope")
    if attempt not in unconfined and ("trace" in attempt or "memory" in attempt) and yama.exists():
        pytest.skip("this kernel lets no process trace another")
    if attempt not in unconfined and "namespace" in attempt and os.geteuid():
        pytest.skip("this system lets only root have namespaces")
    assert attempt in unconfined


# Without one of its means, at the least this becomes possible.
WEAKER = [
    (LANDLOCK, {"has_filter": False}, "reach the network by UDP"),
    (LANDLOCK, {"has_filter": False}, "fill the memory or the disk"),
    (LANDLOCK, {"has_keeper": False}, "leave a process behind"),
    (LANDLOCK, {"interface": 0}, "read a file outside its room"),
    (LANDLOCK, {"interface": 0}, "write outside its folder"),
    (NAMESPACES, {"has_namespaces": False, "has_filter": False}, "reach the network by UDP"),
    (NAMESPACES, {"interface": 0}, "read a file outside its room"),
    (NONE, {}, "reach the network by TCP"),
    (NONE, {}, "read the grader's environment"),
    (NONE, {}, "signal a process of the grader"),
]


@pytest.mark.parametrize(("sandbox", "without", "possible"), WEAKER)
def test_without_one_of_its_means_the_canary_gets_somewhere(sandbox, without, possible, failures):
    failures(sandbox)
    assert possible in failures(dataclasses.replace(sandbox, **without))


@pytest.mark.parametrize("sandbox", [NAMESPACES, LANDLOCK], ids=lambda sandbox: sandbox.name)
@pytest.mark.parametrize("interface", [3, 4, 5])
def test_an_older_landlock_holds_too(sandbox, interface, failures):
    failures(sandbox)
    assert failures(dataclasses.replace(sandbox, interface=interface)) == []


# ---- which one is taken ----------------------------------------------------------------------------------------------


def test_the_strongest_that_holds_is_taken(monkeypatch):
    for_canary = {BUBBLEWRAP: ["reach the network by UDP"], NAMESPACES: [], LANDLOCK: []}
    monkeypatch.setattr(sandboxes, "_probed", for_canary.get)
    assert sandboxes.find_sandbox() is NAMESPACES


def test_without_one_it_says_what_was_tried_and_why_not(monkeypatch):
    monkeypatch.setattr(sandboxes, "_probed", lambda sandbox: [f"no {sandbox.name} today", "and more"])
    with pytest.raises(NoSandbox) as error:
        sandboxes.find_sandbox()
    for sandbox in SANDBOXES:
        assert f"{sandbox.name}: no {sandbox.name} today; and more" in str(error.value)
    assert sandboxes.find_sandbox(trust=True) is NONE


def test_what_is_not_installed_does_not_work_here(monkeypatch):
    monkeypatch.setattr(os, "defpath", "/nowhere")
    (failure,) = sandboxes.probe(BUBBLEWRAP)
    assert failure.startswith("it does not work here") and "bwrap" in failure


# ---- what is in the room ---------------------------------------------------------------------------------------------


@by_name
def test_the_worker_sees_the_room_and_its_environment_only(sandbox, room, failures):
    failures(sandbox)
    code = "import os; print(sorted(os.environ), os.environ['NAME'], os.environ['TMPDIR'], os.getcwd(), os.listdir())"
    ours = ["LC_CTYPE", "NAME", "TMPDIR"]  # LC_CTYPE is the interpreter's own doing
    assert printed(sandbox, room, code) == f"{ours} value {room.writable} {room.writable} ['output']"


@by_name
def test_what_is_written_into_files_that_lie_there_comes_back(sandbox, room, failures):
    failures(sandbox)
    printed(sandbox, room, "open('output', 'w').write('answer')")
    assert (room.writable / "output").read_text() == "answer"


@by_name
def test_no_installed_package_is_there_unless_named(sandbox, room, failures, tmp_path_factory):
    failures(sandbox)
    site = Path(pytest.__file__).parent.parent
    tree = tmp_path_factory.mktemp("tree")
    for name in ("one", "two"):
        (tree / "site-packages" / name).mkdir(parents=True)
        (tree / "site-packages" / name / "__init__.py").write_text("value = 7")
    shelf = tmp_path_factory.mktemp("shelf")
    named = dataclasses.replace(room, readable=lay_out(shelf, [tree / "site-packages" / "one"]))
    code = """
        import sys
        sys.path += sys.argv[1:]
        for name in ("one", "two", "pytest"):
            try:
                print(__import__(name).value)
            except (ImportError, PermissionError):
                print("no", name)
    """
    assert printed(sandbox, named, code, shelf, site).split("\n") == ["7", "no two", "no pytest"]


@by_name
def test_the_interpreters_own_packages_are_not_there(sandbox, room, failures):
    failures(sandbox)
    hidden = [folder for view in sandboxes._views() for folder in sandboxes._packages(view)]
    files = [next((path for path in folder.rglob("*") if path.is_file()), None) for folder in hidden]
    if not any(files):
        pytest.skip("this interpreter has no package of its own")
    code = """
        import sys
        for path in sys.argv[1:]:
            try:
                open(path)
                print("read", path)
            except OSError:
                pass
    """
    assert printed(sandbox, room, code, *filter(None, files)) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@by_name
def test_root_becomes_a_user_of_its_own_for_each_worker(sandbox, room, failures):
    failures(sandbox)
    code = "import os; print(*os.getresuid(), *os.getresgid(), *os.getgroups())"
    argv = [sys.executable, "-I", "-S", "-c", code]
    users = [
        subprocess.run(sandbox.command(argv, room), stdout=subprocess.PIPE, text=True, extra_groups=[7]).stdout.split()
        for _ in range(2)
    ]
    assert users[0][0] != users[1][0]
    assert all(len(set(ids)) == 1 and ids[0] != "0" and len(ids) == 6 for ids in users)


@pytest.mark.skipif(os.geteuid() != 0, reason="a folder is closed to root's worker only")
@by_name
def test_a_room_below_a_folder_that_is_closed_to_others_can_be_read(sandbox, room, failures, tmp_path_factory):
    failures(sandbox)
    closed = tmp_path_factory.mktemp("closed")
    (closed / "file").write_text("text")
    closed.chmod(0o700)
    inside = dataclasses.replace(room, readable=(closed / "file",))
    assert printed(sandbox, inside, "import sys; print(open(sys.argv[1]).read())", closed / "file") == "text"


@by_name
def test_no_descriptor_of_the_grader_is_there(sandbox, room, failures, tmp_path):
    failures(sandbox)
    code = """
        import os
        def is_open(number):
            try:
                return bool(os.fstat(number))
            except OSError:
                return False
        print([number for number in range(3, 64) if is_open(number)])
    """
    argv = [sys.executable, "-I", "-S", "-c", textwrap.dedent(code)]
    with open(tmp_path / "output") as secret:
        os.set_inheritable(secret.fileno(), True)
        done = subprocess.run(sandbox.command(argv, room), capture_output=True, text=True, close_fds=False, timeout=30)
    assert done.stdout.strip() == "[]", done.stderr


# ---- how a worker ends -----------------------------------------------------------------------------------------------

HOPPER = """
    import os, signal
    if os.fork() == 0:
        while True:  # each is gone before it can be seen
            if os.fork():
                os._exit(0)
            try:
                os.setsid()
            except OSError:
                pass
    print("ready", flush=True)
    signal.pause()
"""


@by_name
def test_nothing_outlives_a_worker_that_is_ended(sandbox, room, failures):
    failures(sandbox)
    worker = start(sandbox, room, HOPPER)
    assert worker.stdout.readline() == "ready\n"
    sandbox.end_leftovers(worker)
    assert is_over(worker)


@by_name
def test_nothing_outlives_the_grader(sandbox, room, failures):
    failures(sandbox)
    code = "import json, subprocess, sys, time; subprocess.Popen(json.loads(sys.argv[1])); time.sleep(30)"
    argv = sandbox.command([sys.executable, "-I", "-S", "-c", textwrap.dedent(HOPPER)], room)
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code, json.dumps(argv)], stdout=subprocess.PIPE, text=True
    ) as grader:
        assert grader.stdout.readline() == "ready\n"
        grader.kill()
        assert is_over(grader)


@by_name
def test_the_worker_is_found_behind_its_launchers_and_can_be_asked(sandbox, room, failures):
    failures(sandbox)
    code = """
        import os, signal, time
        signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"here\\n"))
        os.fork()
        os.write(1, b"ready\\n")
        while True:
            time.sleep(0.01)
    """
    worker = start(sandbox, room, code)
    assert [worker.stdout.readline() for _ in range(2)] == ["ready\n", "ready\n"]
    found = sandbox.processes(worker.pid)
    assert len(found) == 2 and found[1].ppid() == found[0].pid and found[0].cmdline()[:3:2] == [
        str(Path(sys._base_executable).resolve()), "-S",
    ]  # fmt: skip
    for process in psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True):
        process.send_signal(signal.SIGUSR1)
    assert [worker.stdout.readline() for _ in range(2)] == ["here\n", "here\n"]
    time.sleep(0.05)
    assert sandbox.processes(worker.pid) == found  # the launchers took it, too
    sandbox.end_leftovers(worker)
    assert sandbox.processes(worker.pid) == []


@by_name
def test_a_worker_ends_with_its_launcher(sandbox, room, failures):
    failures(sandbox)
    worker = start(sandbox, room, "import time; print('ready', flush=True); time.sleep(30)")
    assert worker.stdout.readline() == "ready\n"
    worker.kill()
    assert is_over(worker)


@pytest.mark.parametrize("sandbox", [BUBBLEWRAP, NAMESPACES], ids=lambda sandbox: sandbox.name)
def test_network_processes_and_ipc_are_its_own(sandbox, room, failures):
    failures(sandbox)
    worker = start(sandbox, room, "import time; print('ready', flush=True); time.sleep(30)")
    assert worker.stdout.readline() == "ready\n"
    (process,) = sandbox.processes(worker.pid)
    for kind in ("net", "pid", "ipc", "uts"):
        assert os.readlink(f"/proc/{process.pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    if sandbox is BUBBLEWRAP:  # whose first process is in there
        assert set(psutil.Process(worker.pid).environ()) == {"PATH"}
    sandbox.end_leftovers(worker)


@by_name
@pytest.mark.parametrize(("code", "status"), [("raise SystemExit(3)", 3), ("import ctypes; ctypes.string_at(0)", -11)])
def test_the_exit_status_comes_through(sandbox, room, code, status, failures):
    failures(sandbox)
    worker = start(sandbox, room, code)
    worker.communicate(timeout=30)
    assert worker.returncode == (128 - status if status < 0 and sandbox is BUBBLEWRAP else status)


# ---- the filter of system calls --------------------------------------------------------------------------------------


def answer(program, number, *arguments, architecture):
    """What the kernel would make of a call: a classic BPF machine, of which the filter uses six instructions."""
    data = struct.pack("<iIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    lines = list(struct.iter_unpack("HBBI", program))
    at = accumulator = 0
    while True:
        code, if_true, if_false, value = lines[at]
        at += 1
        if code == confined.RETURN:
            return value
        if code == confined.LOAD:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code == confined.AND:
            accumulator &= value
        else:
            holds = {confined.EQUAL: accumulator == value, confined.ABOVE: accumulator > value}[code]
            at += if_true if holds else if_false


@pytest.mark.parametrize("machine", confined.MACHINES)
def test_the_filter_refuses_what_the_table_says(machine):
    column, architecture = confined.MACHINES[machine]
    numbers = {
        line.split()[0]: int(line.split()[1 + column])
        for table in (confined.REFUSED, confined.SIGNALS, confined.UNKNOWN)
        for line in table.split(",")
        if line.split()[1 + column] != "-"
    }
    strict, mild = (confined.program(machine, signals) for signals in (True, False))

    def said(name, *arguments, program=mild):
        number = numbers[name] if isinstance(name, str) else name
        return answer(program, number, *arguments, architecture=architecture)

    assert (
        said("socket")
        == said("fchmodat")
        == said("ptrace")
        == said("prlimit64", 5)
        == said("fcntl", 3, 8)
        == confined.EPERM
    )
    assert said("clone", 0x8000) == said("clone", 0x10000000 | 17) == said("sched_setaffinity", 9) == confined.EPERM
    assert said("clone", 0x3D0F00) == said("prlimit64", 0) == said("fcntl", 3, 1030) == confined.ALLOW
    assert said("clone3") == said(462) == said(0x40000000) == confined.ENOSYS
    assert said("kill") == said("tgkill") == confined.ALLOW
    assert said("kill", program=strict) == said("tgkill", program=strict) == confined.EPERM
    assert answer(mild, 0, architecture=architecture + 1) == confined.KILL


@pytest.mark.parametrize(
    ("column", "header"),
    [(1, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (2, "/usr/include/asm-generic/unistd.h")],
)
def test_the_numbers_are_the_kernels(column, header):
    if not Path(header).exists():
        pytest.skip(f"{header} is not there")
    text = Path(header).read_text()
    known = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text))
    for entry in ",".join((confined.REFUSED, confined.SIGNALS, confined.UNKNOWN)).split(","):
        name, number = entry.split()[0], entry.split()[column]
        if name in known or int(known["memfd_secret"]) > int(number.strip("-") or 0):
            assert known.get(name, "-") == number, name
