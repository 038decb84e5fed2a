"""The section `preprocess` as tests need it, and params for own tables, the documented ones too."""

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.datasets.building.params import Preprocess, Table

ROOT = Path(__file__).resolve().parent.parent
NAMES = Table(
    interactions="i.csv",
    items="t.csv",
    user="user",
    item="item",
    item_in_items=None,
    rating="rating",
    label=None,
    negatives=None,
    timestamp="timestamp",
    title="title",
    separator=None,
    encoding="utf-8",
    quotes=True,
)
# Whatever stands in params.yaml: each data set's own protocol, with the shares and months of these.
PREPROCESS = Preprocess(
    engine="pandas",
    keep_history=25,
    repeats=None,
    positive_from=None,
    split=None,
    valid_share=0.1,
    test_share=0.1,
    month_edges=[14, 24, 29, 34],
    table=NAMES,
)


def names(**changes: Any) -> Table:
    """Returns the same names, but for some."""
    return Table(**{**NAMES.model_dump(), **changes})


def documented_params(changes: dict[str, Any] | None = None) -> str:
    """Returns the project's `params.yaml` with the documented example's values, and `changes`."""
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    documented = YAML(typ="safe").load(ROOT / "docs/own-data/params.yaml")
    stream = io.StringIO()
    yaml.dump(_merged(_merged(params, documented), changes or {}), stream)
    return stream.getvalue()


def _merged(base: Any, changes: dict[str, Any]) -> Any:
    """Puts nested `changes` into `base`; every key must be there already."""
    for key, value in changes.items():
        assert key in base, key
        base[key] = _merged(base[key], value) if isinstance(value, dict) else value
    return base
