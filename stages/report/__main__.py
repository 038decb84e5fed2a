"""Puts all methods into one table: `python -m stages.report`.

Reads data/chosen, data/predictions/*.parquet, the test rows and the methods' metrics; writes
metrics/table.json, metrics/table.csv, metrics/plots/warm_cold.csv, and data/report/: table.md and
the pictures methods.png and warm_cold.png. Scores nothing.
"""

from pathlib import Path

from stages.common.errors import run_stage
from stages.common.params import load_section, load_shared
from stages.common.plots import write_csv
from stages.common.predictions import read_scored_rows
from stages.common.seeds import generator
from stages.common.tables import replacing, write_json
from stages.report.figures import draw_methods, draw_warm_cold
from stages.report.layout import csv_table, markdown, warm_cold
from stages.report.methods import OURS, file_of, read_facts, reported
from stages.report.params import Report
from stages.report.table import build_table

METRICS = Path("metrics")


def main() -> None:
    """Reads what is there, measures, writes tables and pictures."""
    params = load_section(Report, "report")
    dataset, seed = load_shared("dataset"), load_shared("seed")
    methods = reported(Path("data/chosen"))
    rows = read_scored_rows(
        {method: Path(f"data/predictions/{file_of(method)}.parquet") for method in methods},
        Path("data/interactions/test.parquet"),
        reference=OURS,
    )
    table = build_table(
        rows,
        {method: read_facts(method, METRICS) for method in methods},
        dataset=dataset,
        ndcg_k=params.ndcg_k,
        replicates=params.replicates,
        level=params.level,
        # The stream of `evaluate`: the same draws give the same intervals in both.
        rng=generator(seed, "evaluate"),
    )
    write_json(table, METRICS / "table.json")
    write_csv(csv_table(table), METRICS / "table.csv")
    write_csv(warm_cold(table), METRICS / "plots/warm_cold.csv")
    with replacing(Path("data/report")) as folder:
        folder.mkdir()
        (folder / "table.md").write_text(markdown(table), encoding="utf-8")
        draw_methods(table, folder / "methods.png")
        draw_warm_cold(table, folder / "warm_cold.png")
    print(f"{len(methods)} methods on {len(rows.uids):,} test rows: data/report/table.md")


if __name__ == "__main__":
    run_stage(main)
