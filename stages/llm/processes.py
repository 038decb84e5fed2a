"""Several processes that share the rows: `torchrun` or `accelerate launch` start them.

Every process loads the LLM and computes its part of each step; sums go through gloo on CPUs and
NCCL on GPUs. Rank 0 alone writes.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from stages.io.errors import InputError
from stages.io.progress import Progress

SPLIT_WEIGHTS = "ACCELERATE_USE_FSDP"  # as `accelerate launch` tells its processes
_DEEPSPEED = "ACCELERATE_USE_DEEPSPEED"

Piece = TypeVar("Piece")


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

    def share(self, pieces: Sequence[Piece]) -> tuple[list[Piece], list[Piece]]:
        """Returns this process's part of pieces of work that all know, and spare ones.

        Processes among which weights are split gather each layer together, so they must compute
        equally often: one with a piece less than others computes another's, and drops the result.
        """
        mine = list(pieces[self.rank :: self.size])
        most = -(-len(pieces) // self.size)
        return mine, list(pieces[: most - len(mine)]) if weights_are_split() else []

    def progress(self, title: str, total: int, done: int) -> Progress:
        """Returns a progress line that only the first process prints."""
        stream = None if self.rank == 0 else io.StringIO()
        return Progress(title, total, done=done, stream=stream)


ALONE = Processes(0, 1)


def processes() -> Processes:
    """Joins the other processes, if a launcher started several; returns who is who.

    Raises:
        InputError: they were started for DeepSpeed.
    """
    if _is_set(_DEEPSPEED):
        raise InputError(
            "DeepSpeed is not supported; docs/accelerate/fsdp2.yaml splits the weights as its ZeRO "
            "stage 3 does"
        )
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1 and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Processes(int(os.environ["RANK"]), size) if size > 1 else ALONE


def weights_are_split() -> bool:
    """Returns whether each of several processes keeps but a share of the frozen weights."""
    return dist.is_initialized() and dist.get_world_size() > 1 and _is_set(SPLIT_WEIGHTS)


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in {"1", "true"}
