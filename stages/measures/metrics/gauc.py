"""GAUC: the mean over users of the user's AUC, each counting as often as they have rows.

The "user weighted AUC" of Zhou et al. 2018 (Deep Interest Network), weighted by impressions. Like
UAUC it compares rows of one user alone, so a score of the user's own cannot move it; but one with
two rows, whose AUC is 0 or 1, does not weigh as much as one with two hundred, and intervals are
narrower.
"""

from stages.measures.metrics.uauc import user_aucs
from stages.measures.user_metrics import UserMetric

METRIC = UserMetric(
    "GAUC", lambda uids, labels, scores, k: user_aucs(uids, labels, scores)[1], by_rows=True
)
