"""Sets of codes as they come out of either recipe: bits, scores, and how the fit went."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from stages.collab.code_files import CodesOfRows
from stages.collab.distillation import distil, item_weights
from stages.collab.fitting import fit, score
from stages.collab.hash_fitting import fit_codes
from stages.collab.histories import HistoryRows, histories_of
from stages.collab.interactions import Interactions
from stages.collab.item_neighbours import find_neighbours
from stages.collab.main_effects import logits, main_effects
from stages.collab.method import FittedMethod
from stages.collab.recipes import CodeSpace, PretrainHash
from stages.collab.taste import TasteModel
from stages.collab.threads import threads
from stages.io.tables import SPLITS


@dataclass(frozen=True)
class LearnedCodes:
    """A set of codes.

    Attributes:
        fitted: scores rows; its tensors are the codes of users, as of now, and of items.
        row_codes: by split, (n, dim) bool, the users' codes as of each row.
        code_space: elements of the codes in the score.
        scale: of the codes' inner product in the score; what else is in it stands outside.
        liked: (n_items + 1, dim) float32, each item's part in the vector of who liked it, whose
            signs are their code, and in row 0 what is added to all; None where codes stand still.
    """

    fitted: FittedMethod
    row_codes: dict[str, NDArray[np.bool_]]
    code_space: CodeSpace
    scale: float
    liked: NDArray[np.float32] | None = None

    @property
    def users(self) -> NDArray[np.bool_]:
        """(n_users + 1, dim) codes as of now; row 0 is padding."""
        return self.fitted.tensors["users"].numpy()

    @property
    def items(self) -> NDArray[np.bool_]:
        """(n_items + 1, dim) codes; row 0 is padding."""
        return self.fitted.tensors["items"].numpy()

    def of_rows(self, data: Interactions) -> CodesOfRows:
        """Returns users' codes by row, and what is expected of train and validation rows."""
        rows = {split: data.splits[split]["row"].to_numpy() for split in SPLITS}
        order = np.argsort(np.concatenate(list(rows.values())))
        codes = np.concatenate([self.row_codes[split] for split in SPLITS])
        taught = np.concatenate([rows["train"], rows["valid"]])
        logits = np.concatenate([self.fitted.score(data.rows[s]) for s in ("train", "valid")])
        by_row = np.argsort(taught)
        likely = torch.sigmoid(torch.from_numpy(logits[by_row]).float()).numpy()
        return CodesOfRows(
            np.concatenate(list(rows.values()))[order], codes[order], taught[by_row], likely
        )


def learn_codes(data: Interactions, settings: PretrainHash, seed: int) -> LearnedCodes:
    """Learns a set of codes by the recipe that its settings name.

    Args:
        data: the rows, with `settings.history_read` liked items each.
        settings: the recipe and how it is fitted.
        seed: of all that is drawn.
    """
    by_recipe = {"taste": _taste_codes, "paper": _paper_codes}
    return by_recipe[settings.recipe](data, settings, seed)


def _paper_codes(data: Interactions, settings: PretrainHash, seed: int) -> LearnedCodes:
    sides = {"n_users": data.n_users, "n_items": data.n_items}
    model, fitted = fit_codes(data.rows["train"], data.rows["valid"], settings, **sides, seed=seed)
    users, items = model.all_bits()
    found = FittedMethod(
        score=lambda rows: score(model, rows),
        tensors={"users": torch.from_numpy(users), "items": torch.from_numpy(items)},
        parameters=sum(p.numel() for p in model.parameters()),
        valid_auc=fitted.valid_auc,
        course={"epochs": fitted.epochs, "best_epoch": fitted.best_epoch},
    )
    row_codes = {split: users[data.rows[split].users.numpy()] for split in SPLITS}
    return LearnedCodes(found, row_codes, settings.code_space, 1.0)


def _taste_codes(data: Interactions, settings: PretrainHash, seed: int) -> LearnedCodes:
    rng = torch.Generator().manual_seed(seed)
    with threads(1):
        model = _initial_taste(data, settings, rng)
        fitted = fit(
            model,
            data.rows["train"],
            data.rows["valid"],
            settings.taste,
            rng=rng,
            title="pretrain_hash",
        )
    scale = float(model.scale.detach())
    users = np.zeros((data.n_users + 1, settings.dim), dtype=np.bool_)
    users[1:] = model.user_bits(rows_now(data))
    found = FittedMethod(
        score=partial(score, model),
        tensors={"users": torch.from_numpy(users), "items": torch.from_numpy(model.item_bits())},
        parameters=sum(p.numel() for p in model.parameters()),
        valid_auc=fitted.valid_auc,
        course={"epochs": fitted.epochs, "best_epoch": fitted.best_epoch, "scale": scale},
    )
    row_codes = {split: model.user_bits(data.rows[split]) for split in SPLITS}
    return LearnedCodes(found, row_codes, "pm1", scale, model.vectors.of_liked())


def _initial_taste(data: Interactions, settings: PretrainHash, rng: torch.Generator) -> TasteModel:
    """Main effects, and vectors taught by the item neighbours of what these miss."""
    taste, train = settings.taste, data.rows["train"]
    effects = main_effects(
        data, c=taste.c, title_weight=taste.title_weight, popularity=taste.popularity
    )
    missed = train.labels.numpy() - 1 / (1 + np.exp(-logits(effects, train)))
    neighbours = find_neighbours(
        train,
        missed,
        n_users=data.n_users,
        n_items=data.n_items,
        neighbours=taste.distillation.neighbours,
        shrinkage=taste.distillation.shrinkage,
    )
    vectors = distil(
        neighbours.similarities,
        histories_of(train),
        item_weights(train.items, data.n_items),
        taste.distillation,
        dim=settings.dim,
        rng=rng,
    )
    return TasteModel(
        effects,
        vectors,
        user_vectors=taste.user_vectors,
        scale=taste.init_scale,
        dropout=taste.dropout,
        history_dropout=taste.history_dropout,
        rng=rng,
    )


def rows_now(data: Interactions) -> HistoryRows:
    """Returns one row per user, 1..n_users: with what they have liked after all rows there are.

    Their item is padding.
    """
    table = pa.concat_tables([data.splits[split] for split in SPLITS])
    rows = [data.rows[split] for split in SPLITS]
    users, items, labels = (
        torch.cat([getattr(part, name) for part in rows]) for name in ("users", "items", "labels")
    )
    histories = torch.cat([histories_of(part) for part in rows])
    last = np.zeros(data.n_users + 1, dtype=np.int64)
    order = np.argsort(table["row"].to_numpy())
    last[users.numpy()[order]] = order  # of several, the last assignment stays
    at = torch.from_numpy(last[1:])
    after = histories[at].clone()
    liked = labels[at] > 0
    after[liked] = torch.cat([after[liked][:, 1:], items[at][liked, None].to(after.dtype)], dim=1)
    everybody = torch.arange(1, data.n_users + 1)
    return HistoryRows(everybody, torch.zeros_like(everybody), torch.zeros(len(at)), after)
