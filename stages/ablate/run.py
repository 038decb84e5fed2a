"""Runs one ablation: writes its prompts, trains its adapter, scores rows."""

import shutil
from pathlib import Path

from stages.ablate.params import Params, read_params
from stages.common.scratch import scratch_folder
from stages.common.seeds import derived_seed
from stages.llm.judging import Fitted, facts_of, judge
from stages.llm.model import trainable_parameters
from stages.llm.predicting import draw_test_rows, trained_llm
from stages.llm.prompt_files import write_prompts
from stages.llm.training import (
    draw_rows,
    phases_of,
    starting_point,
    train_step,
    write_adapter,
)

LLM_FOLDER = Path("models/llm")
INTERACTIONS_FOLDER = Path("data/interactions")
CODES_FOLDER = Path("data/codes")
TEXT_ADAPTER = Path("models/adapters/text")
SOURCES = [Path(f"stages/{name}") for name in ("ablate", "common", "llm")]


def run_ablation(name: str) -> None:
    """Reads params and inputs, trains, scores, writes scores, metrics and cost."""
    params = read_params(name)
    start = TEXT_ADAPTER if params.training.tuning == "two_step" else None
    inputs = [LLM_FOLDER, INTERACTIONS_FOLDER, CODES_FOLDER, *([start] if start else [])]
    scratch = scratch_folder(f"ablate-{name}", [*inputs, *SOURCES], params.values())
    prompts, adapter = scratch / "prompts", scratch / "adapter"
    if not prompts.is_dir():
        write_prompts(
            "codes",
            params.shown,
            prompts,
            interactions=INTERACTIONS_FOLDER,
            codes=CODES_FOLDER,
            llm=LLM_FOLDER,
            compress=params.compress,
            seed=params.seed,
            title=f"prompts {name}",
        )
    test = draw_test_rows(prompts / "test.parquet", params.scoring, params.seed)
    valid = draw_rows(
        prompts / "valid.parquet", params.training.valid_rows, True, _training_seed(params)
    )
    rows = {"valid": valid, "test": test}
    facts = facts_of(rows, INTERACTIONS_FOLDER)
    fitted = _train(params, start, prompts, adapter, scratch / "training", name)
    llm, score = trained_llm(LLM_FOLDER, adapter, params.scoring.precision)
    judge(
        name,
        llm,
        rows,
        facts,
        fitted,
        score=score,
        token_budget=params.scoring.token_budget,
        measures=params.measures,
        seed=params.seed,
        scratch=scratch / "scores",
    )
    shutil.rmtree(scratch, ignore_errors=True)


def _train(
    params: Params, start: Path | None, prompts: Path, adapter: Path, scratch: Path, name: str
) -> Fitted:
    """Trains and writes the adapter as `train_lora codes` would."""
    seed = _training_seed(params)
    llm = starting_point(params.training, LLM_FOLDER, start, seed)
    tuned = train_step(
        llm,
        params.training,
        prompts,
        phases_of("codes", params.training),
        seed=seed,
        scratch=scratch,
        title=f"train {name}",
    )
    write_adapter(llm, tuned, params.training.score, adapter)
    trained = sum(p.numel() for p in trainable_parameters(llm.model).values())
    return Fitted(tuned.best, tuned.seconds, trained)


def _training_seed(params: Params) -> int:
    """The seed of `train_lora codes`: the same rows in the same order as BinLLM."""
    return derived_seed(params.seed, "train_lora codes")
