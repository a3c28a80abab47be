"""The processes that grade end with the one that gives them work, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil

POOL = """
import os, time
from minicnn.course.grading.batch import local

if __name__ == "__main__":
    with local(2)() as pool:
        for future in [pool.submit(os.getpid) for _ in range(2)]:
            print(future.result(), flush=True)
        time.sleep(60)
"""


def test_a_killed_grader_leaves_no_process(tmp_path):
    (tmp_path / "pool.py").write_text(POOL)
    with subprocess.Popen([sys.executable, str(tmp_path / "pool.py")], stdout=subprocess.PIPE, text=True) as grader:
        assert grader.stdout is not None
        workers = [psutil.Process(int(grader.stdout.readline())) for _ in range(2)]
        assert all(worker.is_running() for worker in workers)
        grader.send_signal(signal.SIGKILL)
        grader.wait()
        _, left = psutil.wait_procs(workers, timeout=20)
        for process in left:
            process.kill()
    assert not left
