"""CTRL (DIN): a DIN that was aligned with texts before it was fitted on labels (Li et al. 2023).

Afterwards DIN scores alone; texts and projections are not needed any more.
"""

from collections.abc import Sequence

import torch
from pydantic import Field

from stages.collab.alignment import align
from stages.collab.fitting import Rows
from stages.collab.histories import PADDING, histories_of
from stages.collab.interactions import Interactions
from stages.collab.method import CollaborativeMethod, FittedMethod, fit_model
from stages.collab.sections import Din, Width
from stages.collab.threads import threads
from stages.io.params import Section
from stages.io.paths import INTERACTIONS_FOLDER
from stages.io.seeds import derived_seed, generator
from stages.io.tables import ITEMS, read_table
from stages.llm.encoder import fetch_encoder
from stages.llm.encoding import encode
from stages.llm.params import Precision
from stages.methods import din


class Texts(Section):
    """What the encoder reads, and how."""

    rows: int | None = Field(ge=2)
    titles: int = Field(ge=0, le=1000)
    max_tokens: int = Field(ge=8)
    precision: Precision


class Alignment(Section):
    """How texts and DIN are brought together."""

    subspaces: int = Field(ge=1, le=64)
    width: Width
    temperature: float = Field(gt=0)
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    batch_size: int = Field(ge=2)
    epochs: int = Field(ge=1)


class Settings(Section):
    """CTRL (DIN): `compare.ctrl`."""

    encoder: str = Field(min_length=1)
    texts: Texts
    alignment: Alignment
    din: Din


def fit_ctrl(data: Interactions, settings: Settings, seed: int) -> FittedMethod:
    """Encodes rows as text, aligns a new DIN with them and fits it on labels."""
    titles = read_table(INTERACTIONS_FOLDER / "items.parquet", ITEMS, ["title"])["title"]
    train = data.rows["train"]
    drawn = generator(seed, "compare_ctrl").permutation(len(train))[: settings.texts.rows]
    aligned = train.take(torch.from_numpy(drawn))
    texts = encode(
        row_texts(aligned, titles.to_pylist(), most=settings.texts.titles),
        fetch_encoder(settings.encoder, named="compare.ctrl.encoder"),
        job="rows",
        max_tokens=settings.texts.max_tokens,
        precision=settings.texts.precision,
    )
    rng = torch.Generator().manual_seed(derived_seed(seed, "compare_ctrl"))
    with threads(1):
        model = din.build(data, settings.din, rng)
        align(model, aligned, texts, rng=rng, **settings.alignment.model_dump())
        return fit_model(model, data, settings.din, rng=rng, title="ctrl")


def row_texts(rows: Rows, titles: Sequence[str], *, most: int) -> list[str]:
    """Writes rows as text: the candidate, then what the user liked before, latest first.

    In this order, a text that is too long for the encoder loses the oldest titles.

    Args:
        rows: rows with histories.
        titles: title of item i + 1.
        most: liked titles in a text, the most recent.

    Returns:
        One text per row.
    """
    texts = []
    for item, history in zip(rows.items.tolist(), histories_of(rows).tolist(), strict=True):
        liked = [titles[liked - 1] for liked in reversed(history) if liked != PADDING][:most]
        texts.append(
            f"Item: {titles[item - 1]}. Liked before, latest first: {'; '.join(liked) or 'nothing'}"
        )
    return texts


METHOD = CollaborativeMethod(
    title="CTRL (DIN)",
    settings=Settings,
    fit=fit_ctrl,
    history=lambda settings: settings.din.history,
    published={"ml-1m": (0.7159, 0.6492), "amazon-book": (0.8202, 0.5996)},
)
