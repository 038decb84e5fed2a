"""CTRL (DIN), from texts to scores: `python -m stages.compare_ctrl`.

Reads data/interactions/ and models/encoder/; writes data/predictions/ctrl.parquet,
metrics/compare/ctrl.json and metrics/cost/ctrl.json.
"""

from stages.common.chosen import skipped
from stages.common.errors import run_stage


def main() -> None:
    """Runs CTRL where it is chosen."""
    if skipped("ctrl"):
        return
    # Only now: what is skipped shall not wait for torch.
    from stages.compare_ctrl.run import run_ctrl

    run_ctrl()


if __name__ == "__main__":
    run_stage(main)
