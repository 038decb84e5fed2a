"""What is said of a data set in its own file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from stages.datasets.building.json_lines import Kind
from stages.datasets.building.params import Preprocess, Table
from stages.datasets.building.places import Place
from stages.datasets.building.protocol import (
    Fractions,
    LeaveLastOut,
    Months,
    PerUser,
    Protocol,
    Repeats,
    Split,
)
from stages.datasets.building.raw import Raw


@dataclass(frozen=True)
class JsonLines:
    """Files of JSON lines too large for one process, which Spark's workers parse.

    Attributes:
        reviews: file of reviews; the four fields are user, item, rating and time, in this order.
        review_fields: what is read of a review.
        metadata: file of items; the two fields are item and title.
        metadata_fields: what is read of an item.
        clean_titles: turns titles into plain lines of text, and counts those that held HTML.
        times_per_second: 1 where times count seconds, 1000 where they count thousandths.
    """

    reviews: str
    review_fields: Mapping[str, Kind]
    metadata: str
    metadata_fields: Mapping[str, Kind]
    clean_titles: Callable[[pa.ChunkedArray], tuple[pa.Array, int]]
    times_per_second: int = 1


@dataclass(frozen=True)
class Dataset:
    """A data set: where it lies, how it is read, its protocol.

    Attributes:
        place: the raw files, and where they are published.
        read: reads the raw files in a folder; `Table` names the user's own files and columns.
        split: the split, or the name of one that `params.yaml` shapes.
        positive_from: least rating with label 1.
        year: only rows of this calendar year (UTC) count; None for all.
        more_than: keep users and items with more ratings than this, each counted once before
            anything is removed; None keeps all.
        repeats: which row of a user and an item counts where there are several.
        json_lines: what Spark's workers parse; None where one process reads the files.
    """

    place: Place
    read: Callable[[Path, Table], Raw]
    split: Split | str
    positive_from: float = 4.0
    year: int | None = None
    more_than: int | None = None
    repeats: Repeats = "last"
    json_lines: JsonLines | None = None

    @property
    def names_are_free(self) -> bool:
        """Whether the files are the user's own, with names that `params.yaml` tells."""
        return not self.place.files


def protocol(dataset: Dataset, params: Preprocess) -> Protocol:
    """Returns how a data set becomes rows: as `params.yaml` says, else in the set's own way.

    Where the user's own table holds labels, 0 or 1, in place of ratings, the label is the label;
    where it holds neither, every row is a like.
    """
    shares, edges = (params.valid_share, params.test_share), params.month_edges
    splits: dict[str, Split] = {
        "per_user": PerUser(*shares),
        "leave_last_out": LeaveLastOut(),
        "fractions": Fractions(*shares),
        "months": Months((edges[0], edges[1], edges[2], edges[3])),
    }
    wanted = params.split or dataset.split
    positive_from = params.positive_from
    if dataset.names_are_free and params.table.rating is None:
        positive_from = 1.0
    elif positive_from is None:
        positive_from = dataset.positive_from
    return Protocol(
        positive_from,
        splits[wanted] if isinstance(wanted, str) else wanted,
        year=dataset.year,
        more_than=dataset.more_than,
        repeats=params.repeats or dataset.repeats,
        negatives=params.table.negatives if dataset.names_are_free else None,
    )
