"""Trains one method and scores test rows: `python -m stages.compare_llm <method>`.

Methods: icl, prompt4nr, personprompt, collm_mf, collm_din. Reads text prompts and the LLM, for
CoLLM also step 1's adapter and the vectors that `compare` has fitted; writes
data/predictions/<method>.parquet, metrics/compare/<method>.json and metrics/cost/<method>.json. A
method that is not in `compare.methods` writes them empty. Killed and started again, it goes on
where it was.
"""

import argparse

from stages.common.chosen import skipped
from stages.common.errors import run_stage


def main() -> None:
    """Runs the method that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    methods = ["icl", "prompt4nr", "personprompt", "collm_mf", "collm_din"]
    parser.add_argument("method", choices=methods)
    method = parser.parse_args().method
    if skipped(method):
        return
    # Only now: what is skipped shall not wait for torch.
    from stages.compare_llm.run import run_method

    run_method(method)


if __name__ == "__main__":
    run_stage(main)
