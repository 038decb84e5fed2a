"""Prints the table of the last run, or sets runs side by side: `python -m stages.measures`.

python -m stages.measures                                             # metrics/evaluate.json
python -m stages.measures --compare main my-exp --out compare.html    # any revisions, on one page

Runs nothing and needs nothing but what git keeps, so it answers in a new clone too. `make show` and
the end of `make repro` are the first. The page is one HTML file and asks no network.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.io.errors import InputError, run_stage
from stages.io.help import parser_of
from stages.io.outputs import replacing
from stages.measures.page.html import comparison_page
from stages.measures.page.record import (
    from_folder,
    from_revision,
    read_record,
    read_recorded_table,
)
from stages.measures.planned import OURS
from stages.measures.summary import FEWEST_FOR_VERDICT, summary_table

_HELP = "docs/table.md#how-far-another-run-may-move"


def main() -> None:
    """Prints the table, or writes the page of the runs that the command line names."""
    asked = arguments()
    if not asked.compare:
        table = read_recorded_table(from_folder)
        print("\n".join([summary_table(table), *unread_codes(table)]))
        return
    page = comparison_page([read_record(name, from_revision(name)) for name in asked.compare])
    with replacing(asked.out) as partial:
        partial.write_text(page, encoding="utf-8")
    print(f"{asked.out}: {', '.join(asked.compare)} side by side")


def unread_codes(table: Mapping[str, Any]) -> list[str]:
    """Returns a line where BinLLM ranks worse than codes that it may have had in its prompts.

    None where there are too few users for a verdict.
    """
    methods = table["methods"]
    if min(table["protocol"]["users"], methods[OURS]["uauc_users"]) < FEWEST_FOR_VERDICT:
        return []
    gaps = {it["title"]: it["difference"] for it in methods.values() if it["kind"] == "codes"}
    above = [title for title, gap in gaps.items() if gap.get("auc", {}).get("high", 0) < 0]
    return [
        f"BinLLM ranks below {title}: if its prompts hold them, the LLM has not learned to read "
        f"them all; see {_HELP}"
        for title in above
    ]


def arguments() -> argparse.Namespace:
    """Returns what the command line asks for.

    Raises:
        InputError: the page's folder is not there.
    """
    parser = parser_of(main)
    revisions = "commits, branches, tags or experiments"
    parser.add_argument("--compare", nargs="+", metavar="REV", help=revisions)
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page of --compare")
    asked = parser.parse_args()
    if bool(asked.compare) != bool(asked.out):
        parser.error("--compare REV … and --out FILE go together")
    if asked.out and not asked.out.parent.is_dir():
        raise InputError(f"--out {asked.out}: there is no folder {asked.out.parent}")
    return asked


if __name__ == "__main__":
    run_stage(main)
