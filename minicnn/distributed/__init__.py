"""Several processes that train one network: PyTorch's ``torch.distributed`` on MPI and NCCL.

Start reading at ``parallel.py``. mpi4py and CuPy are imported only by ``init_process_group``.
"""

from __future__ import annotations

from .agreement import DisagreementError, require_agreement
from .group import (
    ReduceOp,
    all_gather,
    all_gather_object,
    all_reduce,
    barrier,
    broadcast,
    broadcast_object_list,
    destroy_process_group,
    enter_gpu,
    get_backend,
    get_local_rank,
    get_local_size,
    get_rank,
    get_world_size,
    init_process_group,
    is_available,
    is_initialized,
    reduce,
)
from .mpi import Work
from .parallel import DistributedDataParallel, average_buffers
from .sampler import DistributedSampler, ShardedLoader
from .sync_norm import SyncBatchNorm

__all__ = [
    "DisagreementError",
    "DistributedDataParallel",
    "DistributedSampler",
    "ReduceOp",
    "ShardedLoader",
    "SyncBatchNorm",
    "Work",
    "all_gather",
    "all_gather_object",
    "all_reduce",
    "average_buffers",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "destroy_process_group",
    "enter_gpu",
    "get_backend",
    "get_local_rank",
    "get_local_size",
    "get_rank",
    "get_world_size",
    "init_process_group",
    "is_available",
    "is_initialized",
    "reduce",
    "require_agreement",
]
