"""Runs CTRL: rows as texts, DIN aligned with them and fitted, once per seed."""

from pathlib import Path

import torch

from stages.collab.din import DeepInterestNetwork
from stages.collab.fitting import Fit
from stages.collab.interactions import read_interactions
from stages.collab.report import fit_and_report
from stages.common.params import load_section, load_shared
from stages.common.quality import Measures
from stages.common.repeats import Repeats
from stages.common.seeds import derived_seed, generator
from stages.common.tables import ITEMS, read_table
from stages.compare_ctrl.ctrl import fit_ctrl
from stages.compare_ctrl.params import CompareCtrl
from stages.compare_ctrl.texts import encode, row_texts

INTERACTIONS_FOLDER = Path("data/interactions")
ENCODER_FOLDER = Path("models/encoder")


def run_ctrl() -> None:
    """Encodes rows as text, aligns DIN with them, fits it, writes scores, metrics and cost."""
    params = load_section(CompareCtrl, "compare_ctrl")
    measures = load_section(Measures, "compare.measures").model_dump()
    seeds, seed = load_section(Repeats, "compare").seeds, load_shared("seed")
    settings = params.din.model_dump()
    data = read_interactions(INTERACTIONS_FOLDER, history=settings.pop("history"))
    titles = read_table(INTERACTIONS_FOLDER / "items.parquet", ITEMS, ["title"])["title"]
    train = data.rows["train"]

    def fitted_under(root: int) -> tuple[DeepInterestNetwork, Fit]:
        drawn = generator(root, "compare_ctrl").permutation(len(train))[: params.texts.rows]
        aligned = train.take(torch.from_numpy(drawn))
        return fit_ctrl(
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
            seed=derived_seed(root, "compare_ctrl"),
            alignment=params.alignment.model_dump(),
            **settings,
        )

    fit_and_report("ctrl", fitted_under, data, seed=seed, seeds=seeds, measures=measures)
