"""Replies that are not the worker's: bytes and messages, written where the grader reads.

A forgery runs in a function of the homework, finds the stream of replies, writes, and leaves.
"""

from __future__ import annotations

from . import Attack

CRASH, WRONG, ERROR, TIMEOUT = "CRASH", "WRONG", "ERROR", "TIMEOUT"

FIND = """
import json, os, pickle, stat, struct, sys

def pipe():
    for number in range(3, 64):
        try:
            status = os.fstat(number)
            if stat.S_ISFIFO(status.st_mode) and os.write(number, b"") == 0:
                return number
        except OSError:
            pass

def say(value, body=b"", total=None):
    header = value if isinstance(value, bytes) else json.dumps(value).encode()
    total = len(header) + len(body) if total is None else total
    data = struct.pack("<II", total, min(len(header), 2**32 - 1)) + header + body
    while data:
        data = data[os.write(pipe(), data):]

def named(**fields):
    return {"dict": [[name, value] for name, value in fields.items()]}

def answers(value, body=b"", printed=0):
    say(named(number=0, printed=printed, answers=value), body)

def done(status=0, left=False):
    say(named(done=status, left=left))
    os._exit(0)

"""
TRACES = """
def trace(line, function):
    with open('traces', 'a') as file:
        file.write(f'Thread (most recent call first):\\n  File "{__file__}", line {line} in {function}\\n')

"""


def _forgery(name: str, states: tuple[str, ...], code: str, told: str = "", kinds: tuple[int, ...] = (23,)) -> Attack:
    return Attack(name, kinds, states, FIND + code, told)


FORGERIES = [
    _forgery("done at once", (CRASH,), "done()", "exit status 0"),
    _forgery("pass", (CRASH,), "say(named(number=0, printed=0, state='PASS'))\ndone()"),
    _forgery("no answers", (WRONG,), "answers({'dict': []})\ndone()"),
    _forgery("not a number", (WRONG,), "answers({'dict': [['answer', float('nan')]]})\ndone()"),
    _forgery("objects", (CRASH,), "answers({'dict': [['answer', {'array': ['|O', [1]]}]]}, bytes(8))\ndone()"),
    _forgery("negative", (CRASH,), "answers({'dict': [['answer', {'array': ['f8', [-1, -1]]}]]}, bytes(8))\ndone()"),
    _forgery("huge shape", (CRASH,), "answers({'dict': [['answer', {'array': ['f8', [2**40, 2**40]]}]]})\ndone()"),
    _forgery("overflow", (CRASH,), "answers({'dict': [['answer', {'number': ['i1', 300]}]]})\ndone()"),
    _forgery("dtype", (CRASH,), "answers({'dict': [['answer', {'array': ['(1,f8', [1]]}]]}, bytes(8))\ndone()"),
    _forgery("length", (CRASH,), "say(b'', total=2**32 - 1)\nos._exit(0)", "256 MB"),
    _forgery("cut off", (TIMEOUT,), "os.write(pipe(), struct.pack('<II', 1000, 100) + b'{')\nos._exit(0)"),
    _forgery("nested", (CRASH,), "say(b'[' * 100_000)\nos._exit(0)"),
    _forgery("pickled", (CRASH,), "os.write(pipe(), pickle.dumps(list(range(1000))))\nos._exit(0)", kinds=(22, 23)),
    _forgery("printed", (CRASH, WRONG), "answers({'dict': []}, printed=10**30)\ndone()"),
    _forgery("printed less", (WRONG,), "answers({'dict': []}, printed=-5)\ndone()"),
    _forgery("status", (CRASH,), "done(-9999)"),
    _forgery("status of text", (CRASH,), "done('0', 'left')"),
    _forgery("number of lists", (CRASH,), "say(named(number=[], printed=0, answers={'dict': []}))\ndone()"),
    _forgery(
        "long names", (CRASH,),
        "say(named(number=0, printed=0, answers={'dict': [['n' * 500_000, [['']] * 200_000]]}))\n"
        "done()",
    ),
    _forgery(
        "markup", (WRONG,),
        "answers({'dict': [['=1+1 <script>\\x1b[31m\\ud800 ' + 'x' * 9000, 'y' * 9000]]})\ndone()",
        kinds=(23, 34),
    ),
    _forgery(
        "million lists", (CRASH,), "say(b'[' + b'[],' * 4_000_000 + b'[]]')\nos._exit(0)", kinds=(23, 26),
    ),
    _forgery(
        "large and of another shape", (WRONG, CRASH, TIMEOUT),
        "answers({'dict': [['@ANSWER@', {'array': ['i1', [120 << 20]]}]]}, bytes(120 << 20))\ndone()",
    ),
    _forgery("importing again", (CRASH, "IMPORT ERROR"), "say(named(importing='@STEM@'))\nos._exit(0)"),
    _forgery("importing others", (CRASH,), "say(named(importing='another'))\nos._exit(0)"),
    _forgery(
        "traces", (CRASH,), TRACES + "trace('9' * 5000, 'x')\nos._exit(3)",
        kinds=(34, 35),
    ),
    _forgery(
        "traces of escapes", (CRASH,), TRACES + "trace(1, '<script>\\x1b[31m\\x9b2J')\nos._exit(3)", "script",
        kinds=(34,),
    ),
    _forgery("imported for ever", (CRASH,), """
import time
while True:
    say(named(imported='x'))
    time.sleep(0.05)
"""),
    _forgery("compiling for ever", (TIMEOUT,), "say(named(compiling=True))\nwhile True: pass", "compiling"),
    _forgery("compiling now and then", (TIMEOUT,), """
import time
while True:
    say(named(compiling=True))
    say(named(compiling=False))
    sum(range(100_000))
"""),
    _forgery("flood", (TIMEOUT, WRONG, ERROR, CRASH), """
while True:
    say(named(number=0, printed=0, answers={'dict': [['answer', 'x' * 1000]]}))
"""),
]  # fmt: skip
