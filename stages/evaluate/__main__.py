"""Measures the predictions of text, codes and BinMF: `python -m stages.evaluate`.

Reads `data/predictions/*.parquet` and the test rows; writes `metrics/evaluate.json` and, for the
plots, `metrics/plots/roc.csv` and `metrics/plots/slices.csv`; prints a table. Scores nothing.
"""

from pathlib import Path

from stages.common.errors import run_stage
from stages.common.params import load_section, load_shared
from stages.common.plots import write_csv
from stages.common.predictions import read_scored_rows
from stages.common.seeds import generator
from stages.common.tables import write_json
from stages.evaluate.measures import measure
from stages.evaluate.methods import LLM_METHODS, METHODS
from stages.evaluate.params import Evaluate
from stages.evaluate.plots import roc_points, slice_bars
from stages.evaluate.summary import summary_table

PREDICTIONS = Path("data/predictions")
TEST_ROWS = Path("data/interactions/test.parquet")
METRICS = Path("metrics/evaluate.json")
PLOTS = Path("metrics/plots")


def main() -> None:
    """Reads the params and predictions, measures, writes and prints."""
    params = load_section(Evaluate, "evaluate")
    dataset, seed = load_shared("dataset"), load_shared("seed")
    rows = read_scored_rows(
        {method: PREDICTIONS / f"{method}.parquet" for method in METHODS},
        TEST_ROWS,
        reference="codes",
        alike=LLM_METHODS,
    )
    quality = measure(
        rows,
        ndcg_k=params.ndcg_k,
        replicates=params.replicates,
        level=params.level,
        rng=generator(seed, "evaluate"),
    )
    quality["protocol"] = {"dataset": dataset, **quality["protocol"]}
    write_csv(roc_points(rows), PLOTS / "roc.csv")
    write_csv(slice_bars(quality), PLOTS / "slices.csv")
    write_json(quality, METRICS)
    print(summary_table(quality))


if __name__ == "__main__":
    run_stage(main)
