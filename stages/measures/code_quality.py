"""How good codes are, and how healthy: do they tell users and items apart, or collapse?

Codes may rank well and say nothing personal: if all that `h_u · h_i` holds is a part of the user
plus a part of the item, it is the kindness of the one and the quality of the other. So it is
measured how many codes there are, how many bits they really use, how much of the inner product is
additive in this sense, and how well that additive part ranks by itself.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from stages.measures.metrics.auc import auc
from stages.measures.slices import sliced_metrics

# A bit of which all but this share has one value says next to nothing.
LOPSIDED = 0.95
# Codes have collapsed where fewer are distinct, or more of the inner product is additive.
FEWEST_DISTINCT, MOST_ADDITIVE = 0.5, 0.5
# Of a variance of whole numbers: less is none at all.
ROUNDING = 1e-12


def code_quality(
    sides: Mapping[str, NDArray[np.bool_]],
    bits: pd.DataFrame,
    splits: Mapping[str, pa.Table],
    *,
    scores: Mapping[str, NDArray],
    row_codes: Mapping[str, NDArray[np.bool_]],
    item_codes: NDArray[np.bool_],
    scale: float,
    low: int,
) -> dict[str, Any]:
    """Measures a set of codes.

    Args:
        sides: (n, dim) codes of `user` and `item`, those with a train row.
        bits: their `bit_table`.
        splits: rows of train, valid and test.
        scores: by split, what the codes, and what stands beside them, score.
        row_codes: by split, (n, dim) the users' codes as of each row.
        item_codes: (n_items + 1, dim).
        scale: of the inner product in the score.
        low: the element of a bit that is not set: −1 or 0; the other is 1.

    Returns:
        Ranking metrics of valid and test; `train_auc`; `bits`, see `bit_summary`; and `health`:
        per side `codes`, `distinct` (share of different codes), `effective_bits` (sum of the
        bits' entropies) and `lopsided` (share of bits that have one value for over 95 %); the
        `additive_share` of the inner product's variance, and `additive`, AUC and UAUC on test
        where only that part of it is in the score.
    """
    quality = {split: ranking_metrics(splits[split], scores[split]) for split in ("valid", "test")}
    users, items = (elements(sides[side], low) for side in ("user", "item"))
    test, iids = splits["test"], splits["test"]["iid"].to_numpy()
    own, theirs = elements(row_codes["test"], low), elements(item_codes, low)[iids]
    main = additive_part(own, theirs, users.mean(0), items.mean(0))
    alone = ranking_metrics(test, scores["test"] + scale * (main - (own * theirs).sum(1)))
    return {
        **quality,
        "train_auc": auc(splits["train"]["label"].to_numpy(), scores["train"]),
        "bits": bit_summary(bits),
        "health": {
            **{side: _spread(sides[side], bits[bits["side"] == side]) for side in sides},
            "additive_share": additive_share(users, items),
            "additive": {name: alone[name] for name in ("auc", "uauc")},
        },
    }


def elements(codes: NDArray[np.bool_], low: int) -> NDArray[np.float64]:
    """Returns codes as numbers: 1 where the bit is set, else `low`."""
    return np.where(codes, 1.0, float(low))


def additive_part(
    users: NDArray, items: NDArray, mean_user: NDArray, mean_item: NDArray
) -> NDArray[np.float64]:
    """Returns (n,): the mean over items for the user, plus that over users for the item.

    Args:
        users: (n, dim) elements of the rows' users.
        items: (n, dim) elements of the rows' items.
        mean_user: (dim,) over all users.
        mean_item: (dim,) over all items.
    """
    return users @ mean_item + items @ mean_user - mean_user @ mean_item


def additive_share(users: NDArray, items: NDArray) -> float | None:
    """Returns the share of the variance of `h_u · h_i` over all pairs that is user plus item.

    In closed form, since all pairs are too many: with means taken off, the variance of the user
    part is m_I' C_U m_I, of the item part m_U' C_I m_U, and of the rest the sum of the elements of
    C_U times C_I, C being the covariances of the elements.

    Returns:
        From 0 to 1; None where the inner product never varies.
    """
    if not len(users) or not len(items):
        return None
    mean_user, mean_item = users.mean(0), items.mean(0)
    of_users, of_items = (np.atleast_2d(np.cov(s.T, bias=True)) for s in (users, items))
    main = mean_item @ of_users @ mean_item + mean_user @ of_items @ mean_user
    whole = main + (of_users * of_items).sum()
    return float(main / whole) if whole > ROUNDING else None


def health_line(name: str, quality: Mapping[str, Any]) -> str:
    """Returns in one line how healthy codes are, and a second that warns where they collapsed."""
    health = quality["health"]
    user, item, share = health["user"], health["item"], health["additive_share"]
    additive = "undefined" if share is None else f"{share:.0%}"
    counts = (
        f"{side['distinct']:.0%} of {side['codes']:,} {what}"
        for side, what in ((user, "users"), (item, "items"))
    )
    line = (
        f"codes {name}: distinct for {' and '.join(counts)}; "
        f"{user['effective_bits']:.1f} and {item['effective_bits']:.1f} effective bits; "
        f"{additive} of the inner product is user plus item"
    )
    reasons = []
    if min(user["distinct"], item["distinct"]) < FEWEST_DISTINCT:
        reasons.append("many users or items share one code")
    if share is None or share > MOST_ADDITIVE:
        reasons.append(
            "their product says how kind users and how good items are, not who likes what"
        )
    if reasons:
        line += f"\nwarning: the codes {name} have collapsed: {'; '.join(reasons)}"
    return line


def _spread(codes: NDArray[np.bool_], bits: pd.DataFrame) -> dict[str, Any]:
    balance = bits["balance"].to_numpy()
    distinct = len(np.unique(np.packbits(codes, axis=1), axis=0))
    return {
        "codes": len(codes),
        "distinct": distinct / max(1, len(codes)),
        "effective_bits": float(bits["entropy"].sum()),
        "lopsided": float(np.mean(np.maximum(balance, 1 - balance) > LOPSIDED)),
    }


def ranking_metrics(table: pa.Table, scores: NDArray) -> dict[str, Any]:
    """AUC and UAUC of scored interactions, over all rows and over slices.

    Args:
        table: (n) rows with uid, label, seen and warm.
        scores: (n,) scores in the table's order.

    Returns:
        `auc`, `uauc`, `uauc_users`, `rows`, and the same under `seen`, `warm` and `cold` (not
        seen); an undefined value is None.
    """
    seen, warm = (table[name].to_numpy(zero_copy_only=False) for name in ("seen", "warm"))
    uids, labels = table["uid"].to_numpy(), table["label"].to_numpy()
    return sliced_metrics(uids, labels, scores, {"seen": seen, "warm": warm, "cold": ~seen})


def bit_table(bits: dict[str, NDArray[np.bool_]]) -> pd.DataFrame:
    """Balance and entropy of each bit.

    Args:
        bits: (n, width) codes of each side, `user` and `item`.

    Returns:
        One line per side and bit: `side`, `bit` (from 0), `balance` (share of ones) and `entropy`
        (of that share, in bits: 1 is an even split, 0 a bit that never changes).
    """
    parts = []
    for side, codes in bits.items():
        ones = codes.mean(axis=0, dtype=np.float64) if len(codes) else np.zeros(codes.shape[1])
        parts.append(
            pd.DataFrame(
                {
                    "side": side,
                    "bit": np.arange(len(ones)),
                    "balance": ones,
                    "entropy": _entropy(ones),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def bit_summary(table: pd.DataFrame) -> dict[str, Any]:
    """Mean, least and greatest balance and entropy over the bits of each side."""
    return {
        str(side): {
            name: {kind: float(getattr(lines[name], kind)()) for kind in ("mean", "min", "max")}
            for name in ("balance", "entropy")
        }
        for side, lines in table.groupby("side", sort=False)
    }


def _entropy(share: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.stack([share, 1 - share])
    return np.abs((p * np.log2(p, out=np.zeros_like(p), where=p > 0)).sum(axis=0))
