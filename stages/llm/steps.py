"""From tables of prompts to an adapter: what `train_lora` does for every variant of BinLLM."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stages.io.outputs import replacing
from stages.io.seeds import generator
from stages.io.tables import write_json
from stages.llm.adapters import add_adapter, check_adapter, load_adapter, store_adapter
from stages.llm.card import llm_facts, model_card
from stages.llm.live import Watch, nobody
from stages.llm.load import Llm, load_llm
from stages.llm.params import Labels
from stages.llm.processes import ALONE, Processes
from stages.llm.splitting import split_frozen
from stages.llm.tune import LabelledPrompts, Tuned, tune
from stages.llm.variants import TrainingSettings
from stages.prompts.rows import PromptRows, read_prompts, sample_groups
from stages.prompts.tokenizer import ANSWERS


def train_step(
    llm: Llm,
    settings: TrainingSettings,
    prompts: Path,
    *,
    scratch: Path,
    title: str,
    peers: Processes = ALONE,
    watch: Watch = nobody,
) -> Tuned:
    """Trains the LLM's adapter on the rows of `training_rows`; see `stages.llm.tune.tune`.

    Args:
        llm: the LLM with the adapter to begin with.
        settings: how it is trained.
        prompts: folder of the tables of prompts.
        scratch: where a cut run finds what it had.
        title: what the progress line says.
        peers: the processes that share the work.
        watch: is told how training goes.
    """
    section, seed = settings.section, settings.seed
    return tune(
        llm,
        training_rows(settings, prompts),
        labelled(prompts / "valid.parquet", section.valid_rows, True, seed),
        settings=section,
        score=section.score,
        learning_rate=section.learning_rate,
        seed=seed,
        scratch=scratch,
        title=title,
        peers=peers,
        watch=watch,
    )


def training_rows(settings: TrainingSettings, prompts: Path) -> list[LabelledPrompts]:
    """Draws the rows of each phase from a folder of prompts; `order` mixed makes one of all."""
    section = settings.section
    phases = [
        labelled(
            prompts / f"{name}.parquet", rows, section.share_prefix, settings.seed, section.labels
        )
        for name, rows in settings.phases().items()
    ]
    return [together(phases)] if section.order == "mixed" else phases


def labelled(
    path: Path, rows: int | None, share_prefix: bool, seed: int, labels: Labels = "hard"
) -> LabelledPrompts:
    """Draws training or validation prompts, whole groups of equal prefix where they are shared."""
    by: Literal["prefix", "row"] = "prefix" if share_prefix else "row"
    drawn = read_prompts(path, sample_groups(path, rows, by, generator(seed, path.name)))
    prefixes = drawn.prefixes if share_prefix else None
    return LabelledPrompts(drawn.prompts, prefixes, drawn.labels, targets_of(drawn, labels))


def targets_of(rows: PromptRows, labels: Labels) -> NDArray[np.float32]:
    """Returns (n,) what the loss holds the scores against, from 0 to 1."""
    hard = np.asarray(rows.labels, dtype=np.float32)
    targets: dict[Labels, NDArray[np.float32]] = {
        "hard": hard,
        "teacher": rows.teacher,
        "mix": ((hard + rows.teacher) / 2).astype(np.float32),
    }
    return targets[labels]


def together(phases: Sequence[LabelledPrompts]) -> LabelledPrompts:
    """Returns the rows of all phases as one, which training shuffles in groups of equal prefix."""
    shared = [phase.prefixes for phase in phases if phase.prefixes is not None]
    return LabelledPrompts(
        [prompt for phase in phases for prompt in phase.prompts],
        [prefix for prefixes in shared for prefix in prefixes] if shared else None,
        np.concatenate([phase.labels for phase in phases]),
        np.concatenate([phase.targets for phase in phases]),
    )


def starting_point(settings: TrainingSettings, llm_folder: Path) -> Llm:
    """Loads the LLM with the adapter that training starts from."""
    section = settings.section
    llm = load_llm(llm_folder, precision=section.precision)
    if settings.start is not None:
        return split_frozen(load_adapter(llm, settings.start, trainable=True))
    return split_frozen(add_adapter(llm, **section.lora.model_dump(), seed=settings.seed))


def write_adapter(llm: Llm, tuned: Tuned, score: str, folder: Path, card: str = "") -> None:
    """Writes the best checkpoint's adapter, whole or not at all, and refuses an empty one.

    Args:
        llm: the LLM with the adapter.
        tuned: what training found.
        score: the number to rank by.
        folder: where to.
        card: the model card; none where it is empty.
    """
    with replacing(folder) as partial:
        store_adapter(llm, tuned.weights, partial)
        check_adapter(partial)
        answers = dict(zip(ANSWERS, llm.answer_ids.tolist(), strict=True))
        facts = {"score": score, "best": tuned.best, "answer_ids": answers}
        write_json(facts, partial / "tuning.json")
        if card:
            (partial / "README.md").write_text(card, encoding="utf-8")


def card_of(
    variant: str, llm: Llm, llm_folder: Path, tuned: Tuned, settings: TrainingSettings
) -> str:
    """Returns the card of a variant's adapter, with what training knows of it."""
    rows = settings.section.valid_rows
    known = {
        f"AUC on {'all' if rows is None else f'{rows:,} drawn'} validation rows": tuned.best["auc"],
        "train rows seen": tuned.best["rows"],
        "on test rows": "nothing is known where this is written; see the pipeline's `metrics/`",
    }
    return variant_card(variant, llm, llm_folder, settings, known)


def variant_card(
    variant: str,
    llm: Llm,
    llm_folder: Path,
    settings: TrainingSettings,
    known: Mapping[str, Any],
    *,
    merged: bool = False,
) -> str:
    """Returns the card of a variant; see `stages.llm.card.model_card`."""
    return model_card(
        variant,
        llm_facts(llm_folder),
        shown=settings.shown,
        score=settings.section.score,
        answer_ids=llm.answer_ids.tolist(),
        params=settings.key(),
        known=known,
        merged=merged,
    )
