"""Where training starts, and the folder it ends in."""

import csv
from pathlib import Path

from stages.common.tables import replacing, write_json
from stages.llm.model import Llm, add_adapter, check_adapter, load_adapter, load_llm, store_adapter
from stages.llm.tuning import Tuned
from stages.train_lora.params import TrainLora


def starting_point(params: TrainLora, llm_folder: Path, start: Path | None, seed: int) -> Llm:
    """Loads the LLM with the adapter that training starts from.

    Args:
        params: of the stage.
        llm_folder: the LLM.
        start: adapter of an earlier step to go on from; None for a new one.
        seed: of a new adapter's initialisation.
    """
    llm = load_llm(llm_folder, precision=params.precision)
    if start is not None:
        return load_adapter(llm, start, trainable=True)
    lora = params.lora
    return add_adapter(
        llm,
        rank=lora.rank,
        alpha=lora.alpha,
        dropout=lora.dropout,
        targets=lora.targets,
        last_layers=lora.last_layers,
        seed=seed,
    )


def write_adapter(llm: Llm, tuned: Tuned, score: str, folder: Path) -> None:
    """Writes the best checkpoint's adapter, whole or not at all, and refuses an empty one."""
    with replacing(folder) as partial:
        store_adapter(llm, tuned.weights, partial)
        check_adapter(partial)
        write_json({"score": score, "best": tuned.best}, partial / "tuning.json")


def write_curve(tuned: Tuned, path: Path) -> None:
    """Writes training loss and validation AUC by rows seen."""
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rows", "loss", "auc"])
        for entry in tuned.curve:
            writer.writerow([entry["rows"], round(entry["loss"], 6), round(entry["auc"], 6)])
