"""How a step is shared by two workers: `python -m benchmarks.pieces text|codes`.

Gradients of a variant's first steps, as `train_lora` draws them, in two ways that take turns:

    whole groups   rows of one user and history stay in one piece
    cut            `stages.llm.packing.pack_evenly`: a group is cut where pieces then end sooner

with the median seconds of all steps, their ratio, and the share of steps in which a worker has
nothing to do. In a folder where the pipeline has run.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.alternating import in_turn
from stages.io.errors import run_stage
from stages.io.paths import LLM_FOLDER, prompts_folder
from stages.llm import packing, tune
from stages.llm.processes import ALONE
from stages.llm.steps import starting_point, together, training_rows
from stages.llm.variants import training_settings
from stages.llm.workers import PIECES, workers


def main() -> None:
    """Prints both ways and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variant", nargs="?", default="codes")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    training = training_settings(args.variant)
    section = training.section
    rows = together(training_rows(training, prompts_folder(training.prompts)))
    llm = starting_point(training, LLM_FOLDER)
    llm.model.train()
    steps = tune._all_steps(llm, [rows], 1, section.batch_rows, training.seed)[: args.steps]

    def gradients(cut: Callable[..., Any]) -> None:
        tune.pack_evenly = cut  # type: ignore[assignment]
        with workers(llm.model, llm.device) as pool:
            for step in steps:
                tune._gradient(
                    llm,
                    step,
                    rows.targets,
                    score=section.score,
                    micro_tokens=section.micro_tokens,
                    pool=pool,
                    peers=ALONE,
                )

    cuts = {"whole groups": packing.pack, "cut": packing.pack_evenly}
    medians = in_turn({name: partial(gradients, cut) for name, cut in cuts.items()}, args.repeats)
    for name, cut in cuts.items():
        pieces = [cut(step, section.micro_tokens, PIECES) for step in steps]
        lengths = [[packing._length(piece) for piece in of_step] for of_step in pieces]
        idle = np.mean([len(of_step) < PIECES for of_step in lengths])
        print(
            f"{name:14}{medians[name]:7.2f} s  {sum(map(sum, lengths)):,} tokens, of which the "
            f"longer pieces have {sum(map(max, lengths)):,}; {idle:.0%} of the steps in one piece"
        )
    print(f"ratio {medians['whole groups'] / medians['cut']:.2f}")


if __name__ == "__main__":
    run_stage(main)
