"""UAUC: the mean over users of the user's AUC."""

import numpy as np
from numpy.typing import NDArray

from stages.measures.user_metrics import UserMetric


def user_aucs(
    uids: NDArray, labels: NDArray, scores: NDArray
) -> tuple[NDArray, NDArray[np.float64]]:
    """AUC within each user who has both classes (Mann-Whitney, ties count half).

    Args:
        uids: (n,) users.
        labels: (n,) 0 or 1.
        scores: (n,) finite numbers.

    Returns:
        The users with both classes, ascending, and their AUCs, each (m,).
    """
    order = np.lexsort((scores, uids))
    uids, positive = np.asarray(uids)[order], np.asarray(labels)[order] == 1
    scores = np.asarray(scores, dtype=np.float64)[order]
    users, user, n_rows = np.unique(uids, return_inverse=True, return_counts=True)
    first_row = np.cumsum(n_rows) - n_rows
    new_score = np.r_[True, (user[1:] != user[:-1]) | (scores[1:] != scores[:-1])][: len(user)]
    tie = np.cumsum(new_score) - 1
    tie_size = np.bincount(tie, minlength=0)
    tie_first = np.cumsum(tie_size) - tie_size
    rank = (tie_first + (tie_size - 1) / 2)[tie] - first_row[user] + 1
    n_pos = np.bincount(user, weights=positive, minlength=len(users))
    n_neg = n_rows - n_pos
    rank_sum = np.bincount(user, weights=rank * positive, minlength=len(users))
    both = (n_pos > 0) & (n_neg > 0)
    above = rank_sum[both] - n_pos[both] * (n_pos[both] + 1) / 2
    return users[both], above / (n_pos[both] * n_neg[both])


def uauc(uids: NDArray, labels: NDArray, scores: NDArray) -> tuple[float | None, int]:
    """Mean over users of the user's AUC, each user weighing the same.

    Returns:
        UAUC and the number of users it is the mean of: those with both classes. (None, 0) where
        there are none.
    """
    users, values = user_aucs(uids, labels, scores)
    return (float(values.mean()), len(users)) if len(users) else (None, 0)


METRIC = UserMetric("UAUC", lambda uids, labels, scores, k: user_aucs(uids, labels, scores)[1])
