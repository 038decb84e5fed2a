"""Measures all rows of the table on the same test rows: `python -m stages.evaluate`.

Reads the rows that `plan` has listed, their scores, costs and facts, and the test rows. Writes
metrics/main.json (the headline), metrics/evaluate.json (the table, with slices and differences),
metrics/table.csv, metrics/plots/{roc,slices}.csv and, to data/evaluation/, table.json (with
seconds), table.md, methods.png and warm_cold.png; prints the table, as `make show` does at any
time, unless TABLE_FOLLOWS is set, as by `make repro`, which ends with it. Scores nothing; removes
what an earlier run left of rows that are gone.
"""

import os

from stages.io.command import start
from stages.io.outputs import replacing
from stages.io.params import load_section, load_shared
from stages.io.paths import EVALUATION, HEADLINE, METRICS, PLANNED_ROWS, PLOTS, TABLE, code_quality
from stages.io.tables import read_json, write_csv, write_json
from stages.measures.figures import draw_methods, draw_warm_cold
from stages.measures.layout import csv_table, markdown, slice_bars
from stages.measures.params import Evaluate
from stages.measures.planned import OURS, read_rows, remove_other_rows
from stages.measures.plots import roc_points
from stages.measures.summary import summary_table
from stages.measures.table import distinct_codes, headline, recorded, whole_table


def main() -> None:
    """Reads what is there, measures, writes tables, plots and pictures, prints the table."""
    params = load_section(Evaluate, "evaluate")
    dataset, seed = load_shared("dataset"), load_shared("seed")
    planned = read_rows(PLANNED_ROWS)
    rows, table = whole_table(planned, params, dataset=dataset, seed=seed)
    own = {name: row for name, row in planned.items() if row.kind in ("variant", "codes")}
    ours = {name: row.title for name, row in own.items() if not row.repeats}
    codes = planned[OURS].codes
    distinct = distinct_codes(read_json(code_quality(codes))) if codes else None
    write_csv(roc_points(rows, ours), PLOTS / "roc.csv")
    write_csv(slice_bars(table), PLOTS / "slices.csv")
    write_csv(csv_table(table), METRICS / "table.csv")
    with replacing(EVALUATION) as folder:
        folder.mkdir()
        write_json(table, folder / "table.json")
        (folder / "table.md").write_text(markdown(table), encoding="utf-8")
        draw_methods(table, folder / "methods.png")
        draw_warm_cold(table, folder / "warm_cold.png")
    write_json(recorded(table), TABLE)
    write_json(headline(table, distinct), HEADLINE)
    remove_other_rows(planned)
    if "TABLE_FOLLOWS" not in os.environ:
        print(summary_table(table))


if __name__ == "__main__":
    start(main)
