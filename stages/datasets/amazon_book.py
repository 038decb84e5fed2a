"""Amazon-Book: Amazon Review Data 2018, category Books, the year 2017.

The paper's protocol: books and users with more than 20 ratings in 2017, label 1 from 5 stars,
January to November to train on, December in two halves.
"""

from pathlib import Path

from stages.datasets.building.amazon import clean_titles, read_amazon
from stages.datasets.building.dataset import Dataset, JsonLines
from stages.datasets.building.json_lines import Kind
from stages.datasets.building.params import Table
from stages.datasets.building.places import Place
from stages.datasets.building.protocol import HalvedDecember
from stages.datasets.building.raw import Raw

REVIEWS, METADATA = "Books_5.json.gz", "meta_Books.json.gz"
REVIEW_FIELDS: dict[str, Kind] = {
    "reviewerID": "text",
    "asin": "text",
    "overall": "number",
    "unixReviewTime": "number",
}
METADATA_FIELDS: dict[str, Kind] = {"asin": "text", "title": "text"}
FILES = JsonLines(REVIEWS, REVIEW_FIELDS, METADATA, METADATA_FIELDS, clean_titles)
YEAR = 2017
_PLACE = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2"


def _read(folder: Path, _: Table) -> Raw:
    return read_amazon(folder, FILES, YEAR)


DATASET = Dataset(
    Place(
        (REVIEWS, METADATA),
        urls=(
            (f"{_PLACE}/categoryFilesSmall/{REVIEWS}", None),
            (f"{_PLACE}/metaFiles2/{METADATA}", None),
        ),
    ),
    _read,
    HalvedDecember(YEAR),
    positive_from=5.0,
    year=YEAR,
    more_than=20,
    repeats="keep",
    json_lines=FILES,
)
