"""The learning curve, for `dvc plots`."""

import csv
from pathlib import Path

from stages.io.outputs import replacing
from stages.llm.tune import Tuned


def write_curve(tuned: Tuned, path: Path) -> None:
    """Writes training loss and validation AUC by rows seen."""
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rows", "loss", "auc"])
        for entry in tuned.curve:
            writer.writerow([entry["rows"], round(entry["loss"], 6), round(entry["auc"], 6)])
