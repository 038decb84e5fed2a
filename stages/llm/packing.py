"""Prompts as token ids, grouped by shared prefix and packed into batches.

Rows of one user and history differ only in the candidate. Such a group is one sequence: the shared
prefix once, then the candidates' own tokens side by side. A mask lets each candidate see the prefix
and itself, and positions restart after the prefix, so that each score is what the row alone would
get.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.llm.attention import Block

# Candidates' tokens that are attended together with their prefix.
BLOCK_SUFFIX_TOKENS = 128


@dataclass(frozen=True)
class Group:
    """Rows that share their first tokens.

    Attributes:
        rows: places of the rows in the list of prompts they came from.
        prefix: token ids all rows begin with; fewer than any row's length.
        suffixes: the token ids that are each row's own, at least one.
    """

    rows: list[int]
    prefix: list[int]
    suffixes: list[list[int]]

    @property
    def length(self) -> int:
        """Tokens of the group as one sequence."""
        return len(self.prefix) + sum(map(len, self.suffixes))


@dataclass(frozen=True)
class Batch:
    """Groups laid out one after the other as one sequence, without padding.

    Attributes:
        input_ids: (1, tokens) token ids.
        position_ids: (1, tokens) each token's place in its own row.
        blocks: who looks where.
        last: (rows,) place of each row's last token.
        rows: (rows,) places of the rows in the list of prompts they came from.
    """

    input_ids: Tensor
    position_ids: Tensor
    blocks: list[Block]
    last: Tensor
    rows: NDArray[np.int64]

    def to(self, device: torch.device, dtype: torch.dtype) -> "Batch":
        """Returns the batch on `device`, for a model that computes in `dtype`."""
        return Batch(
            self.input_ids.to(device),
            self.position_ids.to(device),
            [block.to(device, dtype) for block in self.blocks],
            self.last.to(device),
            self.rows,
        )


def group_rows(
    token_ids: Sequence[list[int]], prefixes: Sequence[str] | None, most_rows: int = 32
) -> list[Group]:
    """Groups rows of equal prefix text.

    What is shared is found in the tokens, not assumed from the text: a tokenizer may merge across
    the seam between prefix and candidate.

    Args:
        token_ids: each row's whole prompt.
        prefixes: each row's prefix; None to leave every row alone.
        most_rows: largest group; longer lists of candidates are cut into several groups.

    Returns:
        Groups in order of their first row.
    """
    members: dict[object, list[int]] = {}
    for row in range(len(token_ids)):
        members.setdefault(row if prefixes is None else prefixes[row], []).append(row)
    groups = []
    for rows in members.values():
        for start in range(0, len(rows), most_rows):
            part = rows[start : start + most_rows]
            shared = _shared_length([token_ids[row] for row in part])
            groups.append(
                Group(part, token_ids[part[0]][:shared], [token_ids[row][shared:] for row in part])
            )
    return groups


def _shared_length(sequences: list[list[int]]) -> int:
    """Length of the longest common start that leaves each sequence one token of its own."""
    first, last = min(sequences), max(sequences)
    most = min(map(len, sequences)) - 1
    return next((i for i in range(most) if first[i] != last[i]), most)


def pack(groups: Sequence[Group], token_budget: int, multiple: int = 1) -> list[list[Group]]:
    """Deals groups out to packs of near-equal token count.

    Longest first, each to the pack that is shortest so far (Graham 1969).

    Args:
        groups: at least one.
        token_budget: tokens of a pack; slightly exceeded where groups do not fit evenly.
        multiple: the number of packs is a multiple of it, so that as many workers end together;
            fewer if there are fewer groups.
    """
    tokens = sum(group.length for group in groups)
    count = math.ceil(tokens / token_budget / multiple) * multiple
    packs: list[list[Group]] = [[] for _ in range(min(count, len(groups)))]
    shortest = [(0, number) for number in range(len(packs))]
    for group in sorted(groups, key=lambda g: (-g.length, g.rows[0])):
        length, number = heapq.heappop(shortest)
        packs[number].append(group)
        heapq.heappush(shortest, (length + group.length, number))
    return packs


def pack_evenly(groups: Sequence[Group], token_budget: int, multiple: int = 1) -> list[list[Group]]:
    """As `pack`, for few groups: cuts one in two where packs then end sooner.

    Both parts compute the prefix, so a cut must make the longest pack a twentieth shorter. Without
    cuts a worker has nothing to do in half the steps of three rows.
    """
    groups = list(groups)
    packs = pack(groups, token_budget, multiple)
    while multiple > 1:
        longest = max(packs, key=_length)
        cut = max((group for group in longest if len(group.rows) > 1), key=_size, default=None)
        if cut is None:
            break
        parts = [group for group in groups if group is not cut] + _halves(cut)
        evener = pack(parts, token_budget, multiple)
        if max(map(_length, evener)) > 0.95 * _length(longest):
            break
        groups, packs = parts, evener
    return packs


def _size(group: Group) -> int:
    return group.length


def _length(pack_of: Sequence[Group]) -> int:
    return sum(map(_size, pack_of))


def _halves(group: Group) -> list[Group]:
    """Cuts a group of several rows where its parts are nearest to equal length."""
    cuts = (
        [
            Group(group.rows[part], group.prefix, group.suffixes[part])
            for part in (slice(number), slice(number, None))
        ]
        for number in range(1, len(group.rows))
    )
    return min(cuts, key=lambda parts: max(map(_size, parts)))


def shuffled_batches(
    groups: Sequence[Group], batch_rows: int, rng: np.random.Generator
) -> Iterator[list[Group]]:
    """Yields one epoch of training batches: groups in random order, cut at `batch_rows` rows.

    Not sorted by length, as scoring is: a history stays the same until the user likes something, so
    long groups hold more dislikes, and batches of like length would differ in their share of likes.
    The bias would then chase the batch (measured: loss above that of a constant for 500 rows).
    """
    batch: list[Group] = []
    n_rows = 0
    for index in rng.permutation(len(groups)):
        batch.append(groups[index])
        n_rows += len(groups[index].rows)
        if n_rows >= batch_rows:
            yield batch
            batch, n_rows = [], 0
    if batch:
        yield batch


def collate(groups: Sequence[Group]) -> Batch:
    """Lays groups out as one sequence; positions restart after the prefix for each of its rows."""
    ids: list[int] = []
    positions: list[int] = []
    last: list[int] = []
    blocks: list[Block] = []
    for group in groups:
        start = len(ids)
        ids += group.prefix
        positions += range(len(group.prefix))
        lengths = []
        for suffix in group.suffixes:
            ids += suffix
            positions += range(len(group.prefix), len(group.prefix) + len(suffix))
            last.append(len(ids) - 1)
            lengths.append(len(suffix))
        blocks += _blocks(start, len(group.prefix), lengths)
    return Batch(
        torch.tensor([ids]),
        torch.tensor([positions]),
        blocks,
        torch.tensor(last),
        np.array([row for group in groups for row in group.rows], dtype=np.int64),
    )


def _blocks(start: int, prefix: int, suffixes: Sequence[int]) -> Iterator[Block]:
    """Yields the blocks of one group that begins at token `start`, given the lengths of its parts.

    Blocks end after a row once `BLOCK_SUFFIX_TOKENS` are reached: the products of a block grow with
    the square of its length, while most pairs of rows see nothing of each other.
    """
    rows: list[int] = []
    begin = start
    for number, length in enumerate(suffixes, start=1):
        rows.append(length)
        if sum(rows) >= BLOCK_SUFFIX_TOKENS or number == len(suffixes):
            first = begin == start
            stop = begin + (prefix if first else 0) + sum(rows)
            bias = _bias(prefix, tuple(rows))
            yield Block(
                begin,
                stop,
                None if first else (start, start + prefix),
                bias[0 if first else prefix :],
            )
            rows, begin = [], stop


@lru_cache(maxsize=4096)
def _bias(prefix: int, suffixes: tuple[int, ...]) -> Tensor:
    """(tokens, tokens) of a prefix and rows: 0 where a token may look, -inf elsewhere."""
    part = torch.tensor([0, *suffixes]).cumsum(0)  # where each row begins, after the prefix
    row = torch.searchsorted(part, torch.arange(int(part[-1])), right=True)
    row = torch.cat([torch.zeros(prefix, dtype=torch.long), row])  # 0 is the prefix
    visible = ((row[:, None] == row) | (row == 0)).tril()
    return torch.zeros(visible.shape).masked_fill(~visible, -torch.inf)
