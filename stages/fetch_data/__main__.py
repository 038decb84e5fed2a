"""Brings the chosen data set's raw files to `data/raw`: `python -m stages.fetch_data`.

Nothing in the files is read or changed here; what they must hold is `preprocess`'s business.
"""

from pathlib import Path

from stages.common.errors import run_stage
from stages.common.params import load_section, load_shared
from stages.common.tables import replacing
from stages.fetch_data.params import FetchData
from stages.fetch_data.sources import fetch

RAW = Path("data/raw")


def main() -> None:
    """Writes `data/raw`."""
    params = load_section(FetchData, "fetch_data")
    with replacing(RAW) as folder:
        fetch(load_shared("dataset"), params.source, folder)


if __name__ == "__main__":
    run_stage(main)
