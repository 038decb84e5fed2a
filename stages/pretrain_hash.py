"""Learns a set of codes and measures them: `python -m stages.pretrain_hash binmf|…`.

Reads data/interactions/; writes models/hash/<set>/ (the codes), metrics/pretrain_hash/<set>.json,
metrics/plots/bits_<set>.csv, and a row of the table: what the codes' own inner product scores.
"""

import torch

from stages.collab.code_files import write_codes
from stages.collab.fitting import score
from stages.collab.hash_fitting import fit_codes
from stages.collab.interactions import read_interactions
from stages.collab.method import FittedMethod
from stages.collab.recipes import recipe
from stages.collab.row import write_row
from stages.io.command import start
from stages.io.params import load_shared
from stages.io.paths import INTERACTIONS_FOLDER, METRICS, PLOTS, hash_model
from stages.io.seeds import derived_seed
from stages.io.tables import write_csv, write_json
from stages.measures.code_quality import bit_summary, bit_table, ranking_metrics


def main(codes: str) -> None:
    """Fits the codes; writes codes, scores and metrics."""
    settings = recipe(codes)
    data = read_interactions(INTERACTIONS_FOLDER, history=settings.history_read)

    def fitted_under(root: int) -> FittedMethod:
        seed = derived_seed(root, "pretrain_hash")
        sides = {"n_users": data.n_users, "n_items": data.n_items}
        model, fitted = fit_codes(
            data.rows["train"], data.rows["valid"], settings, **sides, seed=seed
        )
        bits = map(torch.from_numpy, model.all_bits())
        return FittedMethod(
            score=lambda rows: score(model, rows),
            tensors=dict(zip(("users", "items"), bits, strict=True)),
            parameters=sum(p.numel() for p in model.parameters()),
            valid_auc=fitted.valid_auc,
            course={"epochs": fitted.epochs, "best_epoch": fitted.best_epoch},
        )

    fitted = write_row(codes, fitted_under, data, load_shared("seed"))
    users, items = (fitted.tensors[side].numpy() for side in ("users", "items"))
    facts = {**fitted.course, "valid_auc": fitted.valid_auc}
    write_codes(hash_model(codes), users, items, {"code_space": settings.code_space, **facts})
    bits = bit_table({"user": users[1:][data.trained_users], "item": items[1:][data.trained_items]})
    quality = {
        split: ranking_metrics(data.splits[split], fitted.score(data.rows[split]))
        for split in ("valid", "test")
    }
    write_csv(bits, PLOTS / f"bits_{codes}.csv")
    metrics = {**quality, "bits": bit_summary(bits)}
    write_json(metrics, METRICS / "pretrain_hash" / f"{codes}.json")


if __name__ == "__main__":
    start(main, "codes")
