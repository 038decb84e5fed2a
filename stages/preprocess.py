"""Builds `data/interactions` from `data/raw`: `python -m stages.preprocess`.

Writes train, valid and test rows, users and items, and their description, `metrics/data.json`.
What to set for your own files: `python -m stages.datasets FILE_OR_FOLDER`.
"""

import pyarrow as pa

from stages import datasets
from stages.datasets.building.checks import check, describe, summary
from stages.datasets.building.dataset import Dataset, protocol
from stages.datasets.building.engines import ENGINES
from stages.datasets.building.params import Preprocess
from stages.io.command import start
from stages.io.outputs import replacing
from stages.io.params import load_section
from stages.io.paths import INTERACTIONS_FOLDER, METRICS, RAW
from stages.io.tables import INTERACTIONS, ITEMS, SPLITS, USERS, write_json, write_table


def main() -> None:
    """Writes `data/interactions` and `metrics/data.json`."""
    params = load_section(Preprocess, "preprocess")
    name = datasets.chosen()
    dataset: Dataset = datasets.load(name)
    rules = protocol(dataset, params)
    run = ENGINES[params.engine]
    built, counts, n_raw = run(dataset, RAW, params.table, rules, params.keep_history)
    check(built, rules.split, keep_history=params.keep_history, n_raw=n_raw)
    with replacing(INTERACTIONS_FOLDER) as folder:
        for number, split in enumerate(SPLITS):
            rows = built.interactions.filter(pa.array(built.split == number))
            write_table(rows, folder / f"{split}.parquet", INTERACTIONS)
        write_table(built.users, folder / "users.parquet", USERS)
        write_table(built.items, folder / "items.parquet", ITEMS)
    described = describe(built, counts)
    write_json({"dataset": name, **described}, METRICS / "data.json")
    print(f"{name}: {summary(built, described, rules.positive_from)}")


if __name__ == "__main__":
    start(main)
