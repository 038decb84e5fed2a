"""Figures in the documentation are those of committed files."""

import json
import re

import pandas as pd

from benchmarks import search_prompts
from benchmarks.search_codes import markdown
from tests.changed_params import ROOT


def test_the_table_of_codes_is_that_of_the_committed_search() -> None:
    found = json.loads((ROOT / "benchmarks/searches/codes.json").read_text())
    assert markdown(found) in (ROOT / "docs/hash-search.md").read_text()


def test_the_table_of_ways_to_write_codes_is_that_of_the_committed_search() -> None:
    found = json.loads((ROOT / "benchmarks/searches/prompts.json").read_text())
    assert search_prompts.markdown(found) in (ROOT / "docs/prompts.md").read_text()


def test_the_readmes_first_table_is_that_of_the_committed_metrics() -> None:
    readme = (ROOT / "README.md").read_text()
    table = pd.read_csv(ROOT / "metrics/table.csv")
    for row in table.to_dict("records"):
        cells = [
            f"{row[f'{m}{end}']:.4f}" for m in ("auc", "uauc") for end in ("", "_low", "_high")
        ]
        auc, low, high, uauc, u_low, u_high = map(re.escape, cells)
        line = (
            rf"^{re.escape(row['title'])} +{auc} +\[{low}, {high}\] +{uauc} +\[{u_low}, {u_high}\]"
        )
        assert re.search(line, readme, re.M), row["title"]
