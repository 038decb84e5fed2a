"""Fits one method and scores the test rows: `python -m stages.compare mf|lightgcn|sasrec|din`.

Reads data/interactions/ and data/chosen/<method>; writes data/predictions/<method>.parquet,
metrics/compare/<method>.json, metrics/cost/<method>.json and the vectors of users and items,
models/compare/<method>.safetensors. A method that is not in `compare.methods` writes them empty.
"""

import argparse
from pathlib import Path

from stages.common.chosen import skipped
from stages.common.errors import run_stage


def main() -> None:
    """Runs the method that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("method", choices=["mf", "lightgcn", "sasrec", "din"])
    method = parser.parse_args().method
    if skipped(method, Path(f"models/compare/{method}.safetensors")):
        return
    # Only now: what is skipped shall not wait for torch.
    from stages.compare.run import run_method

    run_method(method)


if __name__ == "__main__":
    run_stage(main)
