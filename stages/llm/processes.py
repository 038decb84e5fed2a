"""Several processes that share the rows: `torchrun` or `accelerate launch` start them.

Every process loads the whole LLM and computes its part of each step; sums go through gloo on CPUs
and NCCL on GPUs. Rank 0 alone writes.
"""

import io
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from stages.common.progress import Progress


@dataclass(frozen=True)
class Processes:
    """The processes of a run: `rank` counts from 0 to `size` - 1."""

    rank: int
    size: int

    def sum(self, tensor: Tensor) -> Tensor:
        """Returns the sum of the processes' tensors of one shape; all must call it."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def progress(self, title: str, total: int, done: int) -> Progress:
        """Returns a progress line that only the first process prints."""
        stream = None if self.rank == 0 else io.StringIO()
        return Progress(title, total, done=done, stream=stream)


ALONE = Processes(0, 1)


def processes() -> Processes:
    """Joins the other processes, if a launcher started several; returns who is who."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1 and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Processes(int(os.environ["RANK"]), size) if size > 1 else ALONE
