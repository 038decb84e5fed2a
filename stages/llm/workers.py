"""Independent pieces of work side by side on a CPU: one thread each, instead of many on each.

Between two matrix products of a small LLM lie dozens of short operations; threads that share each
of them wait for one another (measured: two threads were 1.4 times as fast as one). Threads that
each take a piece of their own meet only at its end.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from stages.llm.processes import weights_are_split

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Workers:
    """Maps a function over pieces of work, in order; `count` pieces at a time.

    Attributes:
        count: pieces computed at the same time.
    """

    def __init__(self, pool: ThreadPoolExecutor | None, count: int) -> None:
        """Uses a pool, or computes one piece after the other without one."""
        self._pool = pool
        self.count = count

    def map(self, work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
        """Yields the results in the order of the pieces."""
        return map(work, pieces) if self._pool is None else self._pool.map(work, pieces)


@contextmanager
def workers(model: nn.Module, device: torch.device) -> Iterator[Workers]:
    """Lends one worker per CPU thread.

    A single one where the model lies on another device; where its weights are split, which are
    gathered layer by layer; and where it is trained with dropout: who draws first from the one
    stream of random numbers would be left to chance.
    """
    count = torch.get_num_threads()
    random = model.training and any(m.p > 0 for m in model.modules() if isinstance(m, nn.Dropout))
    if device.type != "cpu" or count == 1 or random or weights_are_split():
        yield Workers(None, 1)
        return
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield Workers(pool, count)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(count)
