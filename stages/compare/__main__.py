"""Fits one method and scores the test rows: `python -m stages.compare mf|lightgcn|sasrec|din`.

Reads data/interactions/; writes data/predictions/<method>.parquet and
metrics/compare/<method>.json.
"""

import argparse
from pathlib import Path

from stages.collab.interactions import read_interactions
from stages.collab.report import write_report
from stages.common.errors import run_stage
from stages.common.params import load_section, load_shared
from stages.common.seeds import derived_seed
from stages.compare.methods import METHODS, fit_method
from stages.compare.params import Compare


def main() -> None:
    """Fits the method that the command line names, writes scores and metrics."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("method", choices=list(METHODS))
    method = parser.parse_args().method
    params = load_section(Compare, "compare")
    settings = getattr(params, method).model_dump()
    seed = load_shared("seed")
    data = read_interactions(Path("data/interactions"), history=settings.pop("history", 0))
    model, fitted = fit_method(
        method,
        data.rows["train"],
        data.rows["valid"],
        n_users=data.n_users,
        n_items=data.n_items,
        seed=derived_seed(seed, f"compare.{method}"),
        **settings,
    )
    write_report(method, model, fitted, data, seed=seed, measures=params.measures.model_dump())


if __name__ == "__main__":
    run_stage(main)
