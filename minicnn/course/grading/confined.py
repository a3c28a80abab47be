"""The launcher of a confined worker: ``python -I -S confined.py SETTINGS PROGRAM ARGUMENT ...``.

It gives up, one after the other, all that a worker needs not, and then becomes the worker. ``sandbox`` writes the
settings (JSON) and says what each is for. It imports nothing of minicnn, and only Linux has what it needs.

Where bubblewrap does not look after what a worker leaves behind, a part of the launcher stays and does: the *keeper*.
It passes the worker's exit status on. SIGTERM, or the end of the process that started it, makes it end the worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import sys
from typing import Any, NoReturn

PARENT_DEATH_SIGNAL, DUMPABLE, KEEP_CAPABILITIES, SECCOMP, SUBREAPER, NO_NEW_PRIVILEGES, AMBIENT = (
    1,
    4,
    8,
    22,
    36,
    38,
    47,
)
NEW_USER, NEW_REST = 0x10000000, 0x08000000 | 0x20000000 | 0x40000000 | 0x04000000  # IPC, processes, network, host name
READ_ALL = 2  # the capability to read files that are closed to everybody else

# ---- system calls that no worker needs -------------------------------------------------------------------------------
# Name, number on x86_64 and on aarch64 ("-": there is none), and where only some arguments are refused, which argument:
# "&" has one of these bits, "=" is this, "!" is not this.
REFUSED = """
socket 41 198, socketpair 53 199, io_uring_setup 425 425,
ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, kcmp 312 272, pidfd_open 434 434,
pidfd_getfd 438 438, pidfd_send_signal 424 424, process_madvise 440 440, fcntl 72 25 1=8, fcntl 72 25 1=15,
setsid 112 157, setpgid 109 154, clone 56 220 0&0x7e028000, unshare 272 97, setns 308 268,
prlimit64 302 261 0!0, setpriority 141 140, ioprio_set 251 30, sched_setaffinity 203 122 0!0,
sched_setscheduler 144 119, sched_setparam 142 118, sched_setattr 314 274,
mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, open_tree 428 428, move_mount 429 429,
fsopen 430 430, fsconfig 431 431, fsmount 432 432, fspick 433 433, mount_setattr 442 442,
chmod 90 -, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, chown 92 -, fchown 93 55, lchown 94 -, fchownat 260 54,
setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16,
utime 132 -, utimes 235 -, futimesat 261 -, utimensat 280 88,
shmget 29 194, msgget 68 186, semget 64 190, mq_open 240 180, memfd_create 319 279, memfd_secret 447 447,
add_key 248 217, request_key 249 218, keyctl 250 219, bpf 321 280, perf_event_open 298 241, userfaultfd 323 282,
name_to_handle_at 303 264, open_by_handle_at 304 265, inotify_init 253 -, inotify_init1 294 26, fanotify_init 300 262
"""
SIGNALS = "kill 62 129, tkill 200 130, tgkill 234 131, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240"
UNKNOWN = "clone3 435 435"  # said not to exist, for then the C library falls back on clone, whose flags can be seen
NEWEST = 461  # what came after Linux 6.9 is unknown here
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # which number in the table, AUDIT_ARCH_*
LOAD, AND, EQUAL, ABOVE, RETURN = 0x20, 0x54, 0x15, 0x25, 0x06
NUMBER_AT, MACHINE_AT, ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026


def program(machine: str, signals: bool) -> bytes:
    """The filter for the kernel. Raises KeyError for a machine whose numbers are not known.

    Args:
        signals: refuse to send signals, too.
    """
    column, architecture = MACHINES[machine]
    code = [(LOAD, 0, 0, MACHINE_AT), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, KILL)]
    code += [(LOAD, 0, 0, NUMBER_AT), (ABOVE, 0, 1, NEWEST), (RETURN, 0, 0, ENOSYS)]
    for table, answer in ((REFUSED, EPERM), (SIGNALS if signals else "", EPERM), (UNKNOWN, ENOSYS)):
        for _, *numbers_and_condition in map(str.split, filter(None, table.split(","))):
            numbers, condition = numbers_and_condition[:2], numbers_and_condition[2:]
            if numbers[column] == "-":
                continue
            refused = _condition(condition[0], answer) if condition else [(RETURN, 0, 0, answer)]
            code += [(EQUAL, 0, len(refused), int(numbers[column])), *refused]
    return b"".join(struct.pack("HBBI", *line) for line in [*code, (RETURN, 0, 0, ALLOW)])


def _condition(text: str, answer: int) -> list[tuple[int, int, int, int]]:
    """Return the answer if one argument is as ``text`` says; else the number of the call is looked at again."""
    place, kind, value = int(text[0]), text[1], int(text[2:], 0)
    bits = [(AND, 0, 0, value)] if kind == "&" else []
    compared = (EQUAL, 0, 1, value) if kind == "=" else (EQUAL, 1, 0, 0 if kind == "&" else value)
    load = (LOAD, 0, 0, ARGUMENTS_AT + 8 * place)  # the lower half, as all these are int
    return [load, *bits, compared, (RETURN, 0, 0, answer), (LOAD, 0, 0, NUMBER_AT)]


def refuse_calls(signals: bool) -> None:
    """Refuse the system calls in the tables from now on. Raises OSError if the kernel does not do it."""
    code = program(os.uname().machine, signals)
    buffer = ctypes.create_string_buffer(code, len(code))
    _control(SECCOMP, 2, struct.pack("HP", len(code) // 8, ctypes.addressof(buffer)))


# ---- what is given up ------------------------------------------------------------------------------------------------


def main() -> NoReturn:
    settings, worker = json.loads(sys.argv[1]), sys.argv[2:]
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    uid = settings["uid"]
    if uid is not None and settings["writable"]:
        folder = settings["writable"]
        for path in (folder, *(os.path.join(folder, name) for name in os.listdir(folder))):
            os.chown(path, uid, uid, follow_symlinks=False)
    if settings["namespaces"]:
        leave_namespaces(os.geteuid(), os.getegid())
    if settings["keeper"]:
        keep(stays_in_group=settings["filter"])
    limit(settings)
    if settings["writable"]:
        os.chdir(settings["writable"])
    if uid is not None:
        become(uid, settings["readable"])
    _control(PARENT_DEATH_SIGNAL, signal.SIGKILL)  # becoming another user would have undone it
    _control(NO_NEW_PRIVILEGES, 1)
    if settings["landlock"]:
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
        import landlock  # type: ignore[import-not-found]

        landlock.restrict(settings["rules"], settings["landlock"])
    if settings["filter"]:
        refuse_calls(settings["refuses_signals"])
    os.execve(worker[0], worker, settings["environment"])


def leave_namespaces(uid: int, gid: int) -> None:
    """Have a network, processes and IPC of its own; whoever is not root needs users of its own for that."""
    _checked(_libc.unshare(NEW_REST | (NEW_USER if uid else 0)), "unshare")
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def keep(stays_in_group: bool) -> None:
    """Go on in a child, in a session of its own; here, stay as its keeper.

    Args:
        stays_in_group: whatever it starts has no means to leave its session and group of processes.
    """
    ended = {signal.SIGTERM, signal.SIGINT}
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # a question to the worker
    signal.pthread_sigmask(signal.SIG_BLOCK, ended | {signal.SIGCHLD})
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ended | {signal.SIGCHLD})
        return
    for option, value in ((SUBREAPER, 1), (DUMPABLE, 0), (PARENT_DEATH_SIGNAL, signal.SIGTERM)):
        _control(option, value)
    for descriptor in range(3):
        os.close(descriptor)
    while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if signal.sigwait(ended | {signal.SIGCHLD}) in ended:
            break
    os.killpg(child, signal.SIGKILL)  # all of them at once, while the worker's zombie keeps the number
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(ChildProcessError):
        while stays_in_group:
            os.wait()
    if status < 0:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status if status >= 0 else 128 - status)


def limit(settings: dict[str, Any]) -> None:
    """Set the limits, of which none can be raised again."""
    processes = settings["processes"] + (_tasks(os.geteuid()) if settings["shares_user"] else 0)
    limits = {"AS": settings["memory"], "NPROC": processes, "FSIZE": settings["file_size"], "CORE": 0, "NOFILE": 64}
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (settings["cpu_seconds"], settings["cpu_seconds"] + 1))


def become(uid: int, readable: list[str]) -> None:
    """Be another user without any capability, but that to read what is readable here and closed to that user."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.seteuid(uid)
    closed = not all(os.access(path, os.R_OK, effective_ids=True) for path in readable)
    os.seteuid(0)
    _control(KEEP_CAPABILITIES, int(closed))
    os.setresuid(uid, uid, uid)
    if closed:
        header, sets = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[1 << READ_ALL] * 3, 0, 0, 0)
        _checked(_libc.capset(header, sets), "capset")
        _control(AMBIENT, 2, READ_ALL)


def _tasks(uid: int) -> int:
    """How many threads this user has now."""
    count = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == uid:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count


_libc = ctypes.CDLL(None, use_errno=True)


def _control(option: int, *arguments: Any) -> None:
    arguments = tuple(ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments)
    _checked(_libc.prctl(option, *arguments, *[ctypes.c_ulong(0)] * (4 - len(arguments))), f"prctl {option}")


def _checked(result: int, what: str) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


if __name__ == "__main__":
    main()
