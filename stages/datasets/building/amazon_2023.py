"""Amazon Reviews 2023 (Hou et al., arXiv 2403.03952): a category is a data set.

Of users and products with 5 ratings or more, each counted once; each user's last row is test, the
one before it valid, as in its authors' own benchmark. Items are parent products.
"""

from pathlib import Path

from stages.datasets.building.amazon import clean_titles, read_amazon
from stages.datasets.building.dataset import Dataset, JsonLines
from stages.datasets.building.json_lines import Kind
from stages.datasets.building.params import Table
from stages.datasets.building.places import Place
from stages.datasets.building.protocol import LeaveLastOut
from stages.datasets.building.raw import Raw

REVIEW_FIELDS: dict[str, Kind] = {
    "user_id": "text",
    "parent_asin": "text",
    "rating": "number",
    "timestamp": "number",
}
METADATA_FIELDS: dict[str, Kind] = {"parent_asin": "text", "title": "text"}
_PLACE = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw"


def category(name: str) -> Dataset:
    """Returns a category as a data set; 4 stars or more are label 1.

    Args:
        name: as its files are named, such as `All_Beauty`.
    """
    reviews, metadata = f"{name}.jsonl.gz", f"meta_{name}.jsonl.gz"
    files = JsonLines(
        reviews, REVIEW_FIELDS, metadata, METADATA_FIELDS, clean_titles, times_per_second=1000
    )

    def read(folder: Path, _: Table) -> Raw:
        return read_amazon(folder, files, None)

    return Dataset(
        Place(
            (reviews, metadata),
            urls=(
                (f"{_PLACE}/review_categories/{reviews}", None),
                (f"{_PLACE}/meta_categories/{metadata}", None),
            ),
        ),
        read,
        LeaveLastOut(),
        more_than=4,
        json_lines=files,
    )
