"""Independent pieces of work side by side on a CPU: one thread each, instead of many on each.

Between two matrix products of a small LLM lie dozens of short operations; threads that share each
of them wait for one another (measured: two threads were 1.4 times as fast as one). Threads that
each take a piece of their own meet only at its end.

A piece is computed by one thread alone, and how work is cut into pieces does not depend on how many
threads there are, so neither do results.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from stages.llm.processes import weights_are_split

# Work is cut into a multiple of so many pieces, more where one would have more tokens than the
# settings allow. A larger number would have more cores share the short steps of training, and
# costs time where there are two (four: 12 % on steps of 250 tokens).
PIECES = 2

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Workers:
    """Maps a function over pieces of work, in order.

    Attributes:
        pieces: work is to be cut into a multiple of so many.
    """

    def __init__(self, pool: ThreadPoolExecutor | None, pieces: int) -> None:
        """Uses a pool, or computes one piece after the other without one."""
        self._pool = pool
        self.pieces = pieces

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
    if device.type != "cpu" or random or weights_are_split():
        yield Workers(None, 1)
        return
    if count == 1:
        yield Workers(None, PIECES)
        return
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield Workers(pool, PIECES)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(count)
