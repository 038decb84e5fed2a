"""Times preprocessing of a million ratings, and the naive ways to compute histories.

python -m benchmarks.preprocess_histories [--ratings 1000209]

The files are generated at ML-1M's size; the split is per user, so that no row is dropped.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.preprocess_generate import write_ml_1m
from stages import datasets
from stages.datasets.building.build import build, histories
from stages.datasets.building.checks import check
from stages.datasets.building.params import Preprocess
from stages.datasets.building.protocol import PerUser, Protocol
from stages.io.params import load_section
from stages.io.tables import INTERACTIONS, SPLITS, write_table

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
_KEEP = 25
_SCANNED_ROWS = 500


def main() -> None:
    """Prints one line per step."""
    parser = argparse.ArgumentParser(description="Times preprocess on a million ratings.")
    parser.add_argument("--ratings", type=int, default=1_000_209)
    n = parser.parse_args().ratings
    rules = Protocol(4, PerUser(0.1, 0.1))
    dataset = datasets.load("ml-1m")
    names = load_section(Preprocess, "preprocess", ROOT / "params.yaml").table
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_ml_1m(folder, n)
        raw, _ = timed("read", lambda: dataset.read(folder, names))
        built, a = timed("build", lambda: build(raw, rules, _KEEP))
        _, b = timed("check", lambda: check(built, rules.split, keep_history=_KEEP, n_raw=n))
        _, c = timed("write", lambda: _write(built.interactions, built.split, folder))
    print(f"after reading, {n:,} ratings: {a + b + c:.2f} s")
    rows = built.interactions.select(["uid", "iid", "label"]).to_pandas()
    uid, iid, label = (rows[name].to_numpy() for name in ("uid", "iid", "label"))
    ours, arrays = timed("histories in one pass", lambda: histories(uid, iid, label, _KEEP))
    lists, walk = timed("histories, one walk over rows in Python", lambda: _walk(uid, iid, label))
    sample = np.random.default_rng(1).choice(n, _SCANNED_ROWS, replace=False)
    scanned, scan = timed(
        f"histories of {_SCANNED_ROWS} rows, each scanning the table", lambda: _scan(rows, sample)
    )
    assert ours.to_pylist() == lists
    assert [lists[row] for row in sample] == scanned
    whole = scan * n / _SCANNED_ROWS
    print(f"all equal; walk / one pass: {walk / arrays:.0f}")
    print(f"scan / one pass: {whole / arrays:,.0f} (scan of all rows: {whole:,.0f} s, projected)")


def timed(what: str, work: Callable[[], T]) -> tuple[T, float]:
    """Does the work and prints how long it took."""
    begin = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - begin
    print(f"{what}: {seconds:.2f} s", flush=True)
    return result, seconds


def _write(interactions: pa.Table, split: np.ndarray, folder: Path) -> None:
    for number, name in enumerate(SPLITS):
        rows = interactions.filter(pa.array(split == number))
        write_table(rows, folder / f"{name}.parquet", INTERACTIONS)


def _walk(uid: np.ndarray, iid: np.ndarray, label: np.ndarray) -> list[list[int]]:
    """Remembers each user's likes while going down the rows."""
    liked: dict[int, list[int]] = {}
    found = []
    for user, item, positive in zip(uid.tolist(), iid.tolist(), label.tolist(), strict=True):
        before = liked.setdefault(user, [])
        found.append(before[-_KEEP:])
        if positive:
            before.append(item)
    return found


def _scan(rows: pd.DataFrame, sample: np.ndarray) -> list[list[int]]:
    """Filters the whole table once per row, as notebooks do."""
    found = []
    for row in sample.tolist():
        earlier = rows.iloc[:row]
        liked = earlier[(earlier["uid"] == rows["uid"].iloc[row]) & (earlier["label"] == 1)]
        found.append(liked["iid"].tolist()[-_KEEP:])
    return found


if __name__ == "__main__":
    main()
