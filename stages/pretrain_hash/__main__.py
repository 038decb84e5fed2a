"""Learns the codes and measures them: `python -m stages.pretrain_hash`.

Reads data/interactions/; writes models/hash/ (the codes), data/predictions/binmf.parquet (their
scores of the test rows), metrics/pretrain_hash.json, metrics/cost/binmf.json and metrics/bits.csv.
"""

from functools import partial
from pathlib import Path
from typing import Any

from stages.collab.fitting import Fit, score
from stages.collab.hashing import HashedModel
from stages.collab.interactions import read_interactions
from stages.collab.timing import timed
from stages.common.errors import run_stage
from stages.common.params import load_section, load_shared
from stages.common.plots import write_csv
from stages.common.repeats import Repeats, over_seeds
from stages.common.seeds import derived_seed
from stages.common.tables import PREDICTIONS, write_json, write_table
from stages.pretrain_hash.fitting import fit_codes
from stages.pretrain_hash.outputs import write_codes
from stages.pretrain_hash.params import PretrainHash
from stages.pretrain_hash.quality import bit_summary, bit_table, ranking_metrics


def main() -> None:
    """Fits the codes and writes codes, scores, metrics and cost."""
    params = load_section(PretrainHash, "pretrain_hash")
    seed, seeds = load_shared("seed"), load_section(Repeats, "compare").seeds
    data = read_interactions(Path("data/interactions"), history=params.history_read)

    def fitted_under(root: int) -> tuple[HashedModel, Fit]:
        return fit_codes(
            data.rows["train"],
            data.rows["valid"],
            n_users=data.n_users,
            n_items=data.n_items,
            seed=derived_seed(root, "pretrain_hash"),
            **params.model_dump(),
        )

    def test_metrics(root: int) -> dict[str, Any]:
        test_scores = score(fitted_under(root)[0], data.rows["test"])
        return ranking_metrics(data.splits["test"], test_scores)

    model, fitted, test_scores, cost = timed(partial(fitted_under, seed), data.rows["test"])
    users, items = model.all_bits()
    scores = {"valid": score(model, data.rows["valid"]), "test": test_scores}
    bits = bit_table({"user": users[1:][data.trained_users], "item": items[1:][data.trained_items]})
    metrics = {name: ranking_metrics(data.splits[name], scores[name]) for name in scores}
    test = data.splits["test"].select(["row", "uid", "iid", "label"])
    write_codes(Path("models/hash"), users, items, code_space=params.code_space, fitted=fitted)
    write_table(
        test.append_column("score", [test_scores]),
        Path("data/predictions/binmf.parquet"),
        PREDICTIONS,
    )
    write_csv(bits, Path("metrics/bits.csv"))
    write_json(
        {
            **metrics,
            "fit": {"epochs": fitted.epochs, "best_epoch": fitted.best_epoch},
            "parameters": sum(p.numel() for p in model.parameters()),
            "seeds": over_seeds(metrics["test"], seed, seeds, test_metrics),
            "bits": bit_summary(bits),
        },
        Path("metrics/pretrain_hash.json"),
    )
    write_json(cost, Path("metrics/cost/binmf.json"))


if __name__ == "__main__":
    run_stage(main)
