"""The small CSV tables that `dvc plots show` draws."""

from pathlib import Path

import pandas as pd

from stages.common.tables import replacing


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Writes a plot's table, whole or not at all; six digits are more than a picture shows."""
    with replacing(path) as partial:
        table.to_csv(partial, index=False, float_format="%.6f", lineterminator="\n")
