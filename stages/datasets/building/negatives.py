"""Dislikes where a table holds likes alone: items that the user never met, drawn by seed."""

import numpy as np
from numpy.typing import NDArray

from stages.datasets.building.params import Negatives

_ROUNDS = 100  # draws for a user who has met nearly all items; what is missing then stays missing


def draw_negatives(
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    label: NDArray[np.bool_],
    negatives: Negatives,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Puts rows of label 0 before each event, of items drawn uniformly.

    They stand before their event, not after it, so that their history is the event's own: whether
    it holds the liked item must not tell them apart. No item is drawn twice for one user, so one
    who has met nearly all items gets fewer.

    Args:
        user: (n,) users as whole numbers.
        item: (n,) items as whole numbers from 0 on; those that occur are drawn from.
        label: (n,) True where positive.
        negatives: how many per event, and the seed.

    Returns:
        (m,) the event that each row stems from, its item and its label.
    """
    rng = np.random.default_rng(negatives.seed)
    pool = np.unique(item)
    n_items = int(item.max()) + 1
    wanted = np.repeat(np.arange(len(item)), negatives.per_event)
    met = np.unique(user * n_items + item)
    events, items = [], []
    for _ in range(_ROUNDS):
        drawn = pool[rng.integers(0, len(pool), len(wanted))]
        pair = user[wanted] * n_items + drawn
        first = np.zeros(len(pair), dtype=bool)
        first[np.unique(pair, return_index=True)[1]] = True
        fine = first & ~np.isin(pair, met)
        events.append(wanted[fine])
        items.append(drawn[fine])
        wanted = wanted[~fine]
        if not len(wanted):
            break
        met = np.union1d(met, pair[fine])
        met = met[np.isin(met // n_items, user[wanted])]
    event = np.concatenate([*events, np.arange(len(item))])
    is_event = np.arange(len(event)) >= len(event) - len(item)
    order = np.lexsort((is_event, event))
    event, is_event = event[order], is_event[order]
    return event, np.concatenate([*items, item])[order], is_event & label[event]
