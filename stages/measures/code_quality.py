"""How good codes are: ranking metrics of their inner product, balance and entropy of their bits."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from stages.measures.slices import sliced_metrics


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
