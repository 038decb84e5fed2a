"""Trains and scores one ablation of BinLLM: `python -m stages.ablate <name>`.

Names: binllm_id_only (no titles, no text step before), binllm_intuitive (full prompts from
scratch), binllm_compressed (dot-decimal codes). Rows, settings and seeds are BinLLM's own, those of
`train_lora` and `predict`. Reads interactions, codes, the LLM and, for binllm_compressed, step 1's
adapter; writes data/predictions/<name>.parquet, metrics/compare/<name>.json and
metrics/cost/<name>.json. An ablation that is not in `compare.methods` writes them empty. Killed and
started again, it goes on where it was.
"""

import argparse

from stages.common.chosen import skipped
from stages.common.errors import run_stage


def main() -> None:
    """Runs the ablation that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["binllm_id_only", "binllm_intuitive", "binllm_compressed"])
    name = parser.parse_args().name
    if skipped(name):
        return
    # Only now: what is skipped shall not wait for torch.
    from stages.ablate.run import run_ablation

    run_ablation(name)


if __name__ == "__main__":
    run_stage(main)
