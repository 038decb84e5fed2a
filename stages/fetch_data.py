"""Brings the chosen data set's raw files to `data/raw`: `python -m stages.fetch_data`.

Nothing in the files is read or changed here; what they must hold is `preprocess`'s business.
"""

from stages import datasets
from stages.datasets.building.dataset import Dataset
from stages.datasets.building.params import FetchData, OwnFiles
from stages.datasets.building.places import fetch
from stages.io.command import start
from stages.io.outputs import replacing
from stages.io.params import load_section
from stages.io.paths import RAW


def main() -> None:
    """Writes `data/raw`."""
    params = load_section(FetchData, "fetch_data")
    name = datasets.chosen()
    dataset: Dataset = datasets.load(name)
    place = dataset.place
    if dataset.names_are_free:
        place = place.of_own_tables(load_section(OwnFiles, "preprocess.table").by_name())
    with replacing(RAW) as folder:
        fetch(name, place, params.source, folder)


if __name__ == "__main__":
    start(main)
