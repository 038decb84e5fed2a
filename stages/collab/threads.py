"""How many threads torch uses."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Lets torch use `n` threads inside the block, and as many as before after it.

    Steps of a few thousand rows are so short that a second thread gains nothing on an idle
    machine, waits for its core on a busy one (ten times slower was measured), and makes results
    depend on the number of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
