"""Learns the codes and measures them: `python -m stages.pretrain_hash`.

Reads data/interactions/; writes models/hash/ (the codes), data/predictions/binmf.parquet (their
scores of the test rows), metrics/pretrain_hash.json and metrics/bits.csv.
"""

from pathlib import Path

from stages.collab.fitting import score
from stages.collab.interactions import read_interactions
from stages.common.errors import run_stage
from stages.common.params import load_section, load_shared
from stages.common.seeds import derived_seed
from stages.common.tables import PREDICTIONS, write_json, write_table
from stages.pretrain_hash.binmf import fit_binmf
from stages.pretrain_hash.outputs import write_bits, write_codes
from stages.pretrain_hash.params import PretrainHash
from stages.pretrain_hash.quality import bit_summary, bit_table, ranking_metrics


def main() -> None:
    """Fits BinMF and writes codes, scores and metrics."""
    params = load_section(PretrainHash, "pretrain_hash").model_dump()
    seed = derived_seed(load_shared("seed"), "pretrain_hash")
    data = read_interactions(Path("data/interactions"))
    model, fitted = fit_binmf(
        data.rows["train"],
        data.rows["valid"],
        n_users=data.n_users,
        n_items=data.n_items,
        seed=seed,
        **params,
    )
    users, items = model.all_bits()
    scores = {name: score(model, data.rows[name]) for name in ("valid", "test")}
    bits = bit_table({"user": users[1:][data.trained_users], "item": items[1:][data.trained_items]})
    metrics = {name: ranking_metrics(data.splits[name], scores[name]) for name in scores}
    test = data.splits["test"].select(["row", "uid", "iid", "label"])
    write_codes(Path("models/hash"), users, items, code_space=params["code_space"], fitted=fitted)
    write_table(
        test.append_column("score", [scores["test"]]),
        Path("data/predictions/binmf.parquet"),
        PREDICTIONS,
    )
    write_bits(bits, Path("metrics/bits.csv"))
    fit_metrics = {"epochs": fitted.epochs, "best_epoch": fitted.best_epoch}
    write_json(
        {**metrics, "fit": fit_metrics, "bits": bit_summary(bits)},
        Path("metrics/pretrain_hash.json"),
    )


if __name__ == "__main__":
    run_stage(main)
