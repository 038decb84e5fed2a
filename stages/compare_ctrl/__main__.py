"""CTRL (DIN), from texts to scores: `python -m stages.compare_ctrl`.

Reads data/interactions/ and models/encoder/; writes data/predictions/ctrl.parquet and
metrics/compare/ctrl.json.
"""

from pathlib import Path

import torch

from stages.collab.interactions import read_interactions
from stages.collab.report import write_report
from stages.common.errors import run_stage
from stages.common.params import load_section, load_shared
from stages.common.seeds import derived_seed, generator
from stages.common.tables import ITEMS, read_table
from stages.compare_ctrl.ctrl import fit_ctrl
from stages.compare_ctrl.params import CompareCtrl
from stages.compare_ctrl.texts import encode, row_texts

INTERACTIONS_FOLDER = Path("data/interactions")
ENCODER_FOLDER = Path("models/encoder")


def main() -> None:
    """Encodes rows as text, aligns DIN with them, fits it, writes scores and metrics."""
    params = load_section(CompareCtrl, "compare_ctrl")
    seed = load_shared("seed")
    settings = params.din.model_dump()
    data = read_interactions(INTERACTIONS_FOLDER, history=settings.pop("history"))
    titles = read_table(INTERACTIONS_FOLDER / "items.parquet", ITEMS, ["title"])["title"]
    train = data.rows["train"]
    drawn = generator(seed, "compare_ctrl").permutation(len(train))[: params.texts.rows]
    aligned = train.take(torch.from_numpy(drawn))
    model, fitted = fit_ctrl(
        train,
        data.rows["valid"],
        aligned,
        encode(
            row_texts(aligned, titles.to_pylist(), most=params.texts.titles),
            ENCODER_FOLDER,
            max_tokens=params.texts.max_tokens,
            precision=params.texts.precision,
        ),
        n_users=data.n_users,
        n_items=data.n_items,
        seed=derived_seed(seed, "compare_ctrl"),
        alignment=params.alignment.model_dump(),
        **settings,
    )
    write_report("ctrl", model, fitted, data, seed=seed, measures=params.measures.model_dump())


if __name__ == "__main__":
    run_stage(main)
