"""From tables of prompts to an adapter: what `train_lora` does for every variant of BinLLM."""

from pathlib import Path
from typing import Literal

from stages.io.seeds import generator
from stages.io.tables import replacing, write_json
from stages.llm.adapters import add_adapter, check_adapter, load_adapter, store_adapter
from stages.llm.load import Llm, load_llm
from stages.llm.processes import ALONE, Processes
from stages.llm.splitting import split_frozen
from stages.llm.tune import LabelledPrompts, Tuned, tune
from stages.llm.variants import TrainingSettings
from stages.prompts.rows import read_prompts, sample_groups


def train_step(
    llm: Llm,
    settings: TrainingSettings,
    prompts: Path,
    *,
    scratch: Path,
    title: str,
    peers: Processes = ALONE,
) -> Tuned:
    """Trains the LLM's adapter on drawn rows of each phase; see `stages.llm.tune.tune`.

    Args:
        llm: the LLM with the adapter to begin with.
        settings: how it is trained.
        prompts: folder of the tables of prompts.
        scratch: where a cut run finds what it had.
        title: what the progress line says.
        peers: the processes that share the work.
    """
    section, seed = settings.section, settings.seed
    train = [
        labelled(prompts / f"{name}.parquet", rows, section.share_prefix, seed)
        for name, rows in settings.phases().items()
    ]
    return tune(
        llm,
        train,
        labelled(prompts / "valid.parquet", section.valid_rows, True, seed),
        settings=section,
        score=section.score,
        learning_rate=section.learning_rate,
        seed=seed,
        scratch=scratch,
        title=title,
        peers=peers,
    )


def labelled(path: Path, rows: int | None, share_prefix: bool, seed: int) -> LabelledPrompts:
    """Draws training or validation prompts, whole groups of equal prefix where they are shared."""
    by: Literal["prefix", "row"] = "prefix" if share_prefix else "row"
    drawn = read_prompts(path, sample_groups(path, rows, by, generator(seed, path.name)))
    return LabelledPrompts(drawn.prompts, drawn.prefixes if share_prefix else None, drawn.labels)


def starting_point(settings: TrainingSettings, llm_folder: Path) -> Llm:
    """Loads the LLM with the adapter that training starts from."""
    section = settings.section
    llm = load_llm(llm_folder, precision=section.precision)
    if settings.start is not None:
        return split_frozen(load_adapter(llm, settings.start, trainable=True))
    return split_frozen(add_adapter(llm, **section.lora.model_dump(), seed=settings.seed))


def write_adapter(llm: Llm, tuned: Tuned, score: str, folder: Path) -> None:
    """Writes the best checkpoint's adapter, whole or not at all, and refuses an empty one."""
    with replacing(folder) as partial:
        store_adapter(llm, tuned.weights, partial)
        check_adapter(partial)
        write_json({"score": score, "best": tuned.best}, partial / "tuning.json")
