"""Builds `data/interactions` from `data/raw`: `python -m stages.preprocess`."""

from pathlib import Path

import pyarrow as pa

from stages.common.errors import run_stage
from stages.common.params import load_section, load_shared
from stages.common.tables import (
    INTERACTIONS,
    ITEMS,
    SPLITS,
    USERS,
    replacing,
    write_json,
    write_table,
)
from stages.preprocess.checks import check, describe
from stages.preprocess.engines import ENGINES
from stages.preprocess.params import Preprocess
from stages.preprocess.protocol import protocol

RAW = Path("data/raw")
INTERACTIONS_FOLDER = Path("data/interactions")
METRICS = Path("metrics/data.json")


def main() -> None:
    """Writes `data/interactions` and `metrics/data.json`."""
    params = load_section(Preprocess, "preprocess")
    dataset = load_shared("dataset")
    rules = protocol(
        dataset,
        positive_from=params.positive_from,
        split=params.split,
        valid_share=params.valid_share,
        test_share=params.test_share,
        month_edges=params.month_edges,
        labelled=dataset == "table" and params.table.label is not None,
    )
    run = ENGINES[params.engine]
    names = params.table.model_dump()
    built, counts, n_raw = run(dataset, RAW, names, rules, params.keep_history)
    check(built, rules.split, keep_history=params.keep_history, n_raw=n_raw)
    with replacing(INTERACTIONS_FOLDER) as folder:
        for number, name in enumerate(SPLITS):
            rows = built.interactions.filter(pa.array(built.split == number))
            write_table(rows, folder / f"{name}.parquet", INTERACTIONS)
        write_table(built.users, folder / "users.parquet", USERS)
        write_table(built.items, folder / "items.parquet", ITEMS)
    write_json({"dataset": dataset, **describe(built, counts)}, METRICS)


if __name__ == "__main__":
    run_stage(main)
