"""Plans the run: `python -m stages.plan`, the first stage, some seconds.

Checks what `params.yaml` asks for, and writes to `data/plan/` a file per stage on which that stage
depends: the first-party sources behind it, file by file with their digests, followed through their
imports. Where items of one stage differ in what they read of `params.yaml`, each has a file of its
own that holds these settings too. So an edit, of code or params, re-runs what it concerns and
nothing else, and nobody keeps lists. `rows.json` names the rows of the table.
"""

import json
from pathlib import Path
from typing import Any

from stages import datasets
from stages.io.command import start
from stages.io.outputs import replacing
from stages.io.paths import PLAN, PLANNED_ROWS
from stages.io.tables import write_json
from stages.measures.planned import rows_as_json
from stages.planning.checks import check_late_settings
from stages.planning.keys import item_keys, stage_keys
from stages.planning.rows import planned_rows


def main() -> None:
    """Reads params and sources, writes the plan, the folder whole or not at all."""
    dataset = datasets.chosen()
    rows = planned_rows(dataset)
    check_late_settings()
    keys = {**stage_keys(dataset), **item_keys()}
    with replacing(PLAN) as folder:
        for path, key in keys.items():
            _write_key(key, folder / path.relative_to(PLAN))
        write_json(rows_as_json(rows), folder / PLANNED_ROWS.name)
    lines = [row.title for row in rows if not row.repeats]
    again = f"; {len(rows) - len(lines)} repetitions" if len(rows) > len(lines) else ""
    print(f"{len(lines)} rows in the table: {', '.join(lines)}{again}")


def _write_key(key: dict[str, Any], path: Path) -> None:
    """Writes a key with its nulls: all rows (`null`) are something else than no such rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(key, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    start(main)
