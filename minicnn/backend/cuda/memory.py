"""The most memory that was ever in use, which CuPy's pool does not count."""

from __future__ import annotations

from collections import defaultdict
from typing import Any


def peak_counter(cupy: Any) -> Any:
    """A hook of CuPy's pool that counts, inside ``with counter:``, what this thread allocates and frees.

    ``used`` has the bytes in use on every GPU, ``peak`` the most that they were; ``start(device)`` begins with what
    is in use now. The sizes are those of the pool, multiples of 512 bytes.
    """

    class PeakCounter(cupy.cuda.MemoryHook):
        name = "minicnn.cuda.max_memory_allocated"

        def __init__(self) -> None:
            self.used: defaultdict[int, int] = defaultdict(int)
            self.peak: dict[int, int] = {}

        def start(self, device: int, used: int) -> None:
            self.used[device] = self.peak[device] = used

        def malloc_postprocess(self, *, device_id: int, mem_size: int, mem_ptr: int, **_: Any) -> None:
            if mem_ptr:  # else there was no memory
                self.used[device_id] += mem_size
                self.peak[device_id] = max(self.used[device_id], self.peak.get(device_id, 0))

        def free_postprocess(self, *, device_id: int, mem_size: int, **_: Any) -> None:
            self.used[device_id] -= mem_size

    return PeakCounter()
