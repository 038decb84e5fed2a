"""Prompts as token ids, grouped by shared prefix and packed into batches.

Rows of one user and history differ only in the candidate. Such a group is one sequence: the shared
prefix once, then the candidates' own tokens side by side. A mask lets each candidate see the prefix
and itself, and positions restart after the prefix, so that each score is what the row alone would
get.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Rows of one group in training, at most: a step shall see several users.
TRAINING_GROUP_ROWS = 4


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
    """Groups as one right-padded tensor.

    Attributes:
        input_ids: (sequences, length) token ids.
        position_ids: (sequences, length) each token's place in its own row; None where sequences
            are single rows.
        mask: (sequences, 1, length, length) True where a token may look; None where sequences are
            single rows, since a causal model never looks at the padding on its right.
        sequence: (rows,) which sequence holds the row.
        last: (rows,) place of the row's last token in its sequence.
        rows: (rows,) places of the rows in the list of prompts they came from.
        tokens: real tokens, without padding.
    """

    input_ids: Tensor
    position_ids: Tensor | None
    mask: Tensor | None
    sequence: Tensor
    last: Tensor
    rows: NDArray[np.int64]
    tokens: int

    def to(self, device: torch.device) -> "Batch":
        """Returns the batch on `device`."""
        return Batch(
            self.input_ids.to(device),
            None if self.position_ids is None else self.position_ids.to(device),
            None if self.mask is None else self.mask.to(device),
            self.sequence.to(device),
            self.last.to(device),
            self.rows,
            self.tokens,
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


def pack_by_length(groups: Sequence[Group], token_budget: int) -> list[list[Group]]:
    """Packs groups of like length together, longest first, up to a budget of padded tokens.

    Longest first, so that memory peaks at once and the time left is never underestimated.
    """
    packs: list[list[Group]] = []
    for group in sorted(groups, key=lambda g: (-g.length, g.rows[0])):
        if packs and (len(packs[-1]) + 1) * packs[-1][0].length <= token_budget:
            packs[-1].append(group)
        else:
            packs.append([group])
    return packs


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


def collate(groups: Sequence[Group], pad_id: int = 0) -> Batch:
    """Lays groups out as one tensor, with mask and positions where prefixes are shared."""
    length = max(group.length for group in groups)
    input_ids = torch.full((len(groups), length), pad_id)
    shared = any(len(group.rows) > 1 for group in groups)
    # Segment 0 is the prefix, 1.. the candidates, -1 the padding.
    segment = torch.full((len(groups), length), -1)
    position_ids = torch.zeros((len(groups), length), dtype=torch.long)
    sequence, last, rows = [], [], []
    for index, group in enumerate(groups):
        parts = [group.prefix, *group.suffixes]
        ids = [token for part in parts for token in part]
        input_ids[index, : len(ids)] = torch.tensor(ids)
        start = 0
        for number, part in enumerate(parts):
            end = start + len(part)
            segment[index, start:end] = number
            first = 0 if number == 0 else len(group.prefix)
            position_ids[index, start:end] = torch.arange(first, first + len(part))
            if number > 0:
                sequence.append(index)
                last.append(end - 1)
            start = end
        rows += group.rows
    mask = None
    if shared:
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        same = segment[:, :, None] == segment[:, None, :]
        mask = ((same | (segment[:, None, :] == 0)) & causal)[:, None]
    return Batch(
        input_ids,
        position_ids if shared else None,
        mask,
        torch.tensor(sequence),
        torch.tensor(last),
        np.array(rows, dtype=np.int64),
        sum(group.length for group in groups),
    )
