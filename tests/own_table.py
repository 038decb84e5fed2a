"""How the tests' own tables name their files and columns: `preprocess.table` in params.yaml."""

from typing import Any

NAMES: dict[str, Any] = {
    "interactions": "i.csv",
    "items": "t.csv",
    "user": "user",
    "item": "item",
    "rating": "rating",
    "label": None,
    "timestamp": "timestamp",
    "title": "title",
}
