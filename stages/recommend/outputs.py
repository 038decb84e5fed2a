"""Ranked items, as a table for programs and as lines for people."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from stages.io.errors import InputError
from stages.io.tables import replacing, write_table
from stages.prompts.text import one_line
from stages.recommend.candidates import Ids, Pairs

RANKED = pa.schema(
    [
        ("user", pa.string()),
        ("item", pa.string()),
        ("title", pa.string()),
        ("score", pa.float32()),
        ("rank", pa.int32()),
    ]
)


def ranked(
    pairs: Pairs, scores: NDArray[np.float32], users: Ids, items: Ids, titles: dict[int, str]
) -> pd.DataFrame:
    """Ranks each user's items by score, best first; equal scores stand in order of iid.

    Args:
        pairs: (n, 2) uid and iid.
        scores: (n,) finite numbers.
        users: their ids.
        items: their ids.
        titles: by iid.

    Returns:
        The columns of `RANKED`, by uid and rank.
    """
    order = np.lexsort((pairs[:, 1], -scores, pairs[:, 0]))
    uids, iids = pairs[order].T
    return pd.DataFrame(
        {
            "user": users.sources(uids),
            "item": items.sources(iids),
            "title": [titles[iid] for iid in iids.tolist()],
            "score": scores[order],
            "rank": pd.Series(uids).groupby(uids).cumcount() + 1,
        }
    )


def listing(best: pd.DataFrame) -> str:
    """Returns ranked items as aligned lines; titles come last, since they may be of any width."""
    width = max(len("item"), best["item"].str.len().max())
    lines = [f"{'rank':>4}  {'score':>8}  {'item':>{width}}  title"]
    for row in best.itertuples():
        title = one_line(str(row.title))
        lines.append(f"{row.rank:>4}  {row.score:>8.4f}  {row.item:>{width}}  {title}")
    return "\n".join(lines)


def check_out(path: Path) -> None:
    """Refuses a file that could not be written, before the work and not after it.

    Raises:
        InputError: the name has no known ending, or its folder is missing or read-only.
    """
    if path.suffix not in _WRITERS or path.is_dir():
        endings = ", ".join(_WRITERS)
        raise InputError(f"--out {path}: expected the name of a file that ends in {endings}")
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise InputError(f"--out {path}: {path.parent} is no folder that can be written to")


def write_ranked(best: pd.DataFrame, path: Path) -> None:
    """Writes ranked items as Parquet, CSV, or JSON lines by the file's ending, whole or not."""
    _WRITERS[path.suffix](best, path)


def _write_text(best: pd.DataFrame, path: Path) -> None:
    """Scores have nine digits, which tell every float32 from its neighbours."""
    scores = best["score"].map("{:.9g}".format)
    with replacing(path) as partial:
        if path.suffix == ".csv":
            best.assign(score=scores).to_csv(partial, index=False, lineterminator="\n")
        else:
            best.assign(score=scores.astype(float)).to_json(
                partial, orient="records", lines=True, force_ascii=False, double_precision=15
            )


_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".parquet": lambda best, path: write_table(best, path, RANKED),
    ".csv": _write_text,
    ".jsonl": _write_text,
}
