"""The learning curve, for `dvc plots`."""

import csv
from pathlib import Path

from stages.io.outputs import replacing
from stages.llm.tune import Tuned


def write_curve(tuned: Tuned, path: Path) -> None:
    """Writes training loss and validation AUC by rows seen; where one has no point, it is blank."""
    points: dict[float, dict[str, float]] = {}
    for name, entries in (("loss", tuned.losses), ("auc", tuned.curve)):
        for entry in entries:
            points.setdefault(entry["rows"], {})[name] = round(entry[name], 6)
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["rows", "loss", "auc"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({"rows": rows, **points[rows]} for rows in sorted(points))
