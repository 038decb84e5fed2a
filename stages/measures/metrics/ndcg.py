"""NDCG@k: how far up a user's liked rows stand (Järvelin & Kekäläinen 2002)."""

import numpy as np
from numpy.typing import NDArray

from stages.measures.user_metrics import UserMetric


def user_ndcgs(uids: NDArray, labels: NDArray, scores: NDArray, k: int) -> NDArray[np.float64]:
    """NDCG@k of each user who has both classes, their rows ranked by score, highest first.

    DCG@k is the sum over ranks r = 1..k of gain / log2(r + 1), the gain of a liked row being 1 and
    of any other 0; a user with fewer rows than k has all of them counted. NDCG@k is DCG@k over that
    of the best order, which has all liked rows first. Ranked are a user's own scored rows and not
    all items there are: a random order is far from 0. Users with one class only are left out, as of
    UAUC: all orders of their rows are alike.

    Tied rows each get the mean gain of the rows tied: the mean of NDCG over all their orders, so
    that the order of rows in a file never counts. Scores that are all equal thus give the chance
    level, in which every rank's gain is the user's share of liked rows.

    Args:
        uids: (n,) users.
        labels: (n,) 0 or 1.
        scores: (n,) finite numbers.
        k: places that count.

    Returns:
        (m,) values in [0, 1], users ascending.
    """
    uids, labels, scores = np.asarray(uids), np.asarray(labels), np.asarray(scores)
    order = np.lexsort((-scores, uids))
    uids, labels, scores = uids[order], labels[order], scores[order]
    values = []
    starts = np.flatnonzero(np.r_[True, uids[1:] != uids[:-1]][: len(uids)])
    for gains, ranked in zip(
        np.split(labels, starts)[1:], np.split(scores, starts)[1:], strict=True
    ):
        if 0 < gains.sum() < len(gains):
            values.append(_ndcg_of_one_user(gains.astype(float), ranked, k))
    return np.array(values)


def _ndcg_of_one_user(gains: NDArray[np.float64], scores: NDArray, k: int) -> float:
    discount = np.zeros(len(gains))
    top = min(k, len(gains))
    discount[:top] = 1 / np.log2(np.arange(top) + 2)
    tie = np.cumsum(np.r_[True, scores[1:] != scores[:-1]]) - 1
    mean_gain = np.bincount(tie, weights=gains) / np.bincount(tie)
    best = discount[: int(gains.sum())].sum()
    return float((mean_gain[tie] * discount).sum() / best)


METRIC = UserMetric("NDCG@{k}", user_ndcgs)
