"""Learns a set of codes and measures them: `python -m stages.pretrain_hash taste|binmf|…`.

Reads data/interactions/; writes models/hash/<set>/ (the codes), metrics/pretrain_hash/<set>.json,
metrics/plots/bits_<set>.csv, and a row of the table: what the codes score without an LLM.
"""

from stages.collab.code_files import write_codes
from stages.collab.interactions import read_interactions
from stages.collab.learned_codes import LearnedCodes, learn_codes
from stages.collab.method import FittedMethod
from stages.collab.recipes import recipe
from stages.collab.row import write_row
from stages.io.command import start
from stages.io.params import load_shared
from stages.io.paths import INTERACTIONS_FOLDER, METRICS, PLOTS, hash_model
from stages.io.seeds import derived_seed
from stages.io.tables import write_csv, write_json
from stages.measures.code_quality import bit_table, code_quality, health_line


def main(codes: str) -> None:
    """Learns the codes; writes codes, scores and metrics."""
    settings = recipe(codes)
    data = read_interactions(INTERACTIONS_FOLDER, history=settings.history_read)
    seed = load_shared("seed")
    learned: dict[int, LearnedCodes] = {}

    def fitted_under(root: int) -> FittedMethod:
        found = learn_codes(data, settings, derived_seed(root, "pretrain_hash"))
        learned.setdefault(root, found)
        return found.fitted

    write_row(codes, fitted_under, data, seed)
    ours = learned[seed]
    facts = {
        "recipe": settings.recipe,
        "code_space": ours.code_space,
        **ours.fitted.course,
        "valid_auc": ours.fitted.valid_auc,
    }
    of_rows = ours.of_rows(data)
    if ours.liked is not None:
        facts["history"] = settings.history_read
    write_codes(hash_model(codes), ours.users, ours.items, of_rows, facts, ours.liked)
    sides = {"user": ours.users[1:][data.trained_users], "item": ours.items[1:][data.trained_items]}
    bits = bit_table(sides)
    write_csv(bits, PLOTS / f"bits_{codes}.csv")
    quality = code_quality(
        sides,
        bits,
        data.splits,
        scores={split: ours.fitted.score(data.rows[split]) for split in data.rows},
        row_codes=ours.row_codes,
        item_codes=ours.items,
        scale=ours.scale,
        low=0 if ours.code_space == "01" else -1,
    )
    write_json(quality, METRICS / "pretrain_hash" / f"{codes}.json")
    print(health_line(codes, quality))


if __name__ == "__main__":
    start(main, "codes")
