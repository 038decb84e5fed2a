"""Search for how codes are learned: `python -m benchmarks.search_codes`.

Learns codes by each recipe below under several seeds on the interactions of one or more data sets,
`name=folder` each, and writes means and standard deviations to benchmarks/searches/codes.json, with
what the codes are to be held against: the logistic regression on user and item, and the one that
also reads titles. Chosen is by the validation AUC; the test rows are measured beside it, and decide
nothing.
"""

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stages import methods
from stages.collab.interactions import Interactions, read_interactions
from stages.collab.learned_codes import learn_codes
from stages.collab.recipes import PretrainHash
from stages.io.params import load_section
from stages.io.paths import INTERACTIONS_FOLDER
from stages.io.seeds import derived_seed, generator
from stages.measures.bootstrap import draw_users
from stages.measures.code_quality import additive_share, elements, ranking_metrics
from stages.measures.params import Evaluate
from stages.measures.planned import SIMPLEST
from stages.measures.quality import (
    METRICS,
    Measured,
    difference,
    mean_of,
    measure_scores,
)

# Each but for what it changes the section `pretrain_hash`.
RECIPES: dict[str, dict[str, Any]] = {
    "taste": {},
    "taste, 64 bits": {"dim": 64},
    "taste, 16 bits": {"dim": 16},
    "taste, 128 bits": {"dim": 128},
    "taste, popularity": {"taste": {"popularity": True}},
    "taste, no titles": {"taste": {"title_weight": 0.0}},
    "taste, no user vectors": {"taste": {"user_vectors": False}},
    "taste, not fitted on labels": {"taste": {"epochs": 1, "lr": 1e-9}},
    "taste, less dropout": {"taste": {"dropout": 0.5}},
    "paper": {"recipe": "paper"},
}
FOUND = Path("benchmarks/searches/codes.json")
_SHOWN = ("valid_auc", "test_auc", "test_uauc")


def main() -> None:
    """Runs the search on the data sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", nargs="*", default=[str(INTERACTIONS_FOLDER)])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--to", type=Path, default=FOUND, help=f"(default: {FOUND})")
    args = parser.parse_args()
    found = json.loads(args.to.read_text()) if args.to.exists() else {}
    for named in args.data:
        name, _, folder = named.rpartition("=")
        name = name or Path(folder).name
        of_data = found.setdefault(name, {})
        for recipe in args.recipes:
            of_data[recipe] = measured(Path(folder), RECIPES[recipe], args.seeds)
            print(name, recipe, json.dumps(of_data[recipe]), flush=True)
            args.to.parent.mkdir(parents=True, exist_ok=True)
            args.to.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(markdown(found))


def markdown(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the table that docs/hash-search.md shows of a search's results."""
    head = ["data", "codes", "valid AUC", "test AUC", "test UAUC"]
    head += [f"{metric.upper()} above {name}" for name in SIMPLEST for metric in METRICS]
    head += ["distinct users, items", "additive"]
    lines = [head, ["---"] * len(head)]
    for name, recipes in found.items():
        for recipe, it in recipes.items():
            cells = [f"{mean:.4f} ± {sd:.4f}" for mean, sd in map(it.get, _SHOWN)]
            cells += [
                "{:+.4f} [{:+.4f}, {:+.4f}]".format(*it[f"above_{simple}"][metric])
                for simple in SIMPLEST
                for metric in METRICS
            ]
            shares = [f"{it[key][0]:.0%}" for key in ("distinct_users", "distinct_items")]
            lines.append([name, recipe, *cells, ", ".join(shares), f"{it['additive'][0]:.0%}"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measured(folder: Path, changes: Mapping[str, Any], seeds: int) -> dict[str, Any]:
    """Learns codes under each seed; returns what they score and how healthy they are.

    Returns:
        `changes`, `seeds`; mean and sd of AUC and UAUC of `valid` and of `test`, of `cold_uauc` of
        test, of the shares `distinct_users`, `distinct_items` and `additive`; and `above_bias` and
        `above_title_bias`, the seeds' mean difference to these in AUC, UAUC and GAUC with an
        interval over users, as `evaluate` in params.yaml says.
    """
    settings = load_section(PretrainHash, "pretrain_hash", changes=changes)
    data = read_interactions(folder, history=settings.history_read)
    test_scores, runs = [], []
    for seed in range(1, seeds + 1):
        codes = learn_codes(data, settings, derived_seed(seed, "pretrain_hash"))
        scores = {split: codes.fitted.score(data.rows[split]) for split in ("valid", "test")}
        test_scores.append(scores["test"])
        low = 0 if codes.code_space == "01" else -1
        users, items = codes.users[1:][data.trained_users], codes.items[1:][data.trained_items]
        share = additive_share(elements(users, low), elements(items, low))
        runs.append(
            {
                **{
                    f"{split}_{metric}": ranking_metrics(data.splits[split], scores[split])[metric]
                    for split in scores
                    for metric in ("auc", "uauc")
                },
                "cold_uauc": ranking_metrics(data.splits["test"], scores["test"])["cold"]["uauc"],
                "distinct_users": len(np.unique(users, axis=0)) / len(users),
                "distinct_items": len(np.unique(items, axis=0)) / len(items),
                "additive": share,
            }
        )
    spread = {name: _spread([run[name] for run in runs]) for name in runs[0]}
    return {"changes": changes, "seeds": seeds, **spread, **_above(data, test_scores)}


def _above(data: Interactions, ours: list[np.ndarray]) -> dict[str, dict[str, list[float]]]:
    """Returns [value, low, high]: seeds' mean less each simplest method's, on the same draws."""
    test = data.splits["test"]
    uids, labels = test["uid"].to_numpy(), test["label"].to_numpy()
    params = load_section(Evaluate, "evaluate")
    draws = draw_users(uids, params.replicates, generator(1, "search_codes"))

    def measured(scores: np.ndarray) -> Measured:
        return measure_scores(uids, labels, scores, slices={}, draws=draws, params=params)

    mean = mean_of([measured(scores) for scores in ours])
    found: dict[str, dict[str, list[float]]] = {}
    for name in SIMPLEST:
        simplest = methods.load(name)
        fitted = simplest.fit(data, load_section(simplest.settings, f"compare.{name}"), 1)
        gaps = difference(mean, measured(fitted.score(data.rows["test"])), params.level)
        found[f"above_{name}"] = {
            metric: [round(gap[end], 4) for end in ("value", "low", "high")]
            for metric, gap in gaps.items()
        }
    return found


def _spread(values: list[float | None]) -> list[float] | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    sd = statistics.stdev(known) if len(known) > 1 else 0.0
    return [round(statistics.fmean(known), 4), round(sd, 4)]


if __name__ == "__main__":
    main()
