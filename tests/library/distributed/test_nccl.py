"""NCCL's communicator on the stand-in for CuPy: what runs on which stream, and who waits for whom."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from minicnn.distributed.group import own_gpu
from tests.library.support.cuda import fakecupy, fakegraph, fakeraw


class FakeNCCL:
    """``cupyx.distributed.NCCLBackend`` of two ranks that always send the same."""

    def __init__(self, n_devices: int, rank: int, use_mpi: bool = False) -> None:
        assert (n_devices, rank, use_mpi) == (2, 1, True)
        self.stopped = False

    def all_reduce(self, in_array: Any, out_array: Any, op: str = "sum", stream: Any = None) -> None:
        def work() -> None:
            assert op == "sum"
            out_array[...] = in_array + in_array

        stream.do(work)

    def broadcast(self, in_out_array: Any, root: int = 0, stream: Any = None) -> None:
        stream.do(lambda: in_out_array.__setitem__(..., in_out_array * 0 + root + 10))

    def all_gather(self, in_array: Any, out_array: Any, count: int, stream: Any = None) -> None:
        assert count == in_array.size
        sent = fakegraph.held(in_array)  # nobody else sees to it that the memory is still there
        stream.do(lambda: out_array.__setitem__(..., sent))

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def communicator(monkeypatch: pytest.MonkeyPatch) -> Any:
    if fakeraw.COMPILER is None:
        pytest.skip("g++ compiles the CUDA kernels for the CPU, and there is none")
    from minicnn.distributed.nccl import NCCLCommunicator

    module = ModuleType("cupyx.distributed")
    module.NCCLBackend = FakeNCCL  # type: ignore[attr-defined]
    with fakecupy.installed() as backend:
        monkeypatch.setitem(sys.modules, "cupyx.distributed", module)
        yield backend.xp, NCCLCommunicator(SimpleNamespace(size=2, rank=1))


def test_sums_come_after_what_computes_them_and_before_what_reads_them(communicator: Any) -> None:
    xp, nccl = communicator
    array = xp.zeros(3, "float32")
    array += 4
    work = nccl.all_reduce(array, "SUM")
    assert array.get().tolist() == [4.0] * 3  # on the other stream, which nobody has waited for
    work.wait()
    assert array.get().tolist() == [8.0] * 3
    work.wait()
    assert array.get().tolist() == [8.0] * 3


def test_broadcast_gather_and_close(communicator: Any) -> None:
    xp, nccl = communicator
    array = xp.ones((2, 2), "float32")
    gathered, work = nccl.all_gather(array)
    work.wait()
    assert gathered.get().tolist() == [[[1.0, 1.0]] * 2] * 2
    nccl.broadcast(array, 1).wait()
    assert array.get().tolist() == [[11.0, 11.0]] * 2
    nccl.close()
    assert nccl.nccl.stopped


def test_what_is_sent_is_kept_until_it_has_been(communicator: Any) -> None:
    xp, nccl = communicator
    gathered, work = nccl.all_gather(xp.ones(3, "float32") + 1)
    work.wait()
    assert gathered.get().tolist() == [[2.0] * 3] * 2


def test_each_rank_of_a_machine_takes_its_own_gpu() -> None:
    assert [own_gpu(None, rank) for rank in (0, 3)] == ["0", "3"]
    assert [own_gpu("4,GPU-7", rank) for rank in (0, 1)] == ["4", "GPU-7"]
    assert own_gpu("5", 1) == "5"
    with pytest.raises(ValueError, match="rank 2 of this machine has no GPU: CUDA_VISIBLE_DEVICES lists 2"):
        own_gpu("0,1", 2)
