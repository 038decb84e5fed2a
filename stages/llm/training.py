"""A step of BinLLM's tuning, from tables of prompts to an adapter.

`train_lora` is this; an ablation of BinLLM takes the same way with one thing changed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from stages.common.seeds import generator
from stages.common.tables import replacing, write_json
from stages.llm.model import (
    Llm,
    add_adapter,
    check_adapter,
    load_adapter,
    load_llm,
    store_adapter,
)
from stages.llm.params import TrainLora
from stages.llm.processes import ALONE, Processes
from stages.llm.prompts import PromptSet, read_prompts, sample_groups
from stages.llm.splitting import split_frozen
from stages.llm.tuning import LabelledPrompts, Tuned, tune

Kind = Literal["text", "codes"]


def phases_of(kind: Kind, params: TrainLora) -> dict[str, int | None]:
    """Returns the tables of prompts that a step trains on, in turn, and how many rows of each."""
    if kind == "text":
        return {"train": params.train_rows.text}
    whole = {"train": params.train_rows.codes}
    first = params.train_rows.ids_first
    return whole if first == 0 else {"train_ids": first, **whole}


def train_step(
    llm: Llm,
    params: TrainLora,
    prompts: Path,
    phases: Mapping[str, int | None],
    *,
    seed: int,
    scratch: Path,
    title: str,
    among: Processes = ALONE,
) -> Tuned:
    """Trains the LLM's adapter on drawn rows of each phase; see `stages.llm.tuning.tune`.

    Args:
        llm: the LLM with the adapter to begin with.
        params: how it is trained.
        prompts: folder of the tables of prompts.
        phases: see `phases_of`.
        seed: of the rows drawn, their order and dropout.
        scratch: where a cut run finds what it had.
        title: what the progress line says.
        among: the processes that share the work.
    """
    train = [
        labelled(prompts / f"{name}.parquet", rows, params.share_prefix, seed)
        for name, rows in phases.items()
    ]
    valid = labelled(prompts / "valid.parquet", params.valid_rows, True, seed)
    return tune(
        llm,
        train,
        valid,
        score=params.score,
        epochs=params.epochs,
        batch_rows=params.batch_rows,
        micro_tokens=params.micro_tokens,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
        warmup=params.warmup,
        evaluations=params.evaluations,
        seed=seed,
        scratch=scratch,
        title=title,
        among=among,
    )


def labelled(path: Path, rows: int | None, share_prefix: bool, seed: int) -> LabelledPrompts:
    """Draws training or validation prompts, whole groups of equal prefix where they are shared."""
    drawn = draw_rows(path, rows, share_prefix, seed)
    return LabelledPrompts(drawn.prompts, drawn.prefixes if share_prefix else None, drawn.labels)


def draw_rows(path: Path, rows: int | None, share_prefix: bool, seed: int) -> PromptSet:
    """Draws the rows of `labelled`, with their keys."""
    by: Literal["prefix", "row"] = "prefix" if share_prefix else "row"
    return read_prompts(path, sample_groups(path, rows, by, generator(seed, path.name)))


def starting_point(params: TrainLora, llm_folder: Path, start: Path | None, seed: int) -> Llm:
    """Loads the LLM with the adapter that training starts from.

    Args:
        params: how it is trained.
        llm_folder: the LLM.
        start: adapter of an earlier step to go on from; None for a new one.
        seed: of a new adapter's initialisation.
    """
    llm = load_llm(llm_folder, precision=params.precision)
    if start is not None:
        return split_frozen(load_adapter(llm, start, trainable=True))
    return split_frozen(add_adapter(llm, **params.lora.model_dump(), seed=seed))


def write_adapter(llm: Llm, tuned: Tuned, score: str, folder: Path) -> None:
    """Writes the best checkpoint's adapter, whole or not at all, and refuses an empty one."""
    with replacing(folder) as partial:
        store_adapter(llm, tuned.weights, partial)
        check_adapter(partial)
        write_json({"score": score, "best": tuned.best}, partial / "tuning.json")
