"""Search for how codes are written and taught: `python -m benchmarks.search_prompts`.

In a folder where the pipeline has run, trains step 2 in each way below, scores validation rows of
whole users, and writes to benchmarks/searches/prompts.json how well the LLM ranks beside its codes,
which are its teacher, and how much of them it reads. Test rows are not looked at.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import logit
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression

from stages.io.params import load_section, load_shared
from stages.io.paths import INTERACTIONS_FOLDER, LLM_FOLDER, METRICS
from stages.io.seeds import generator
from stages.io.tables import ITEM_CODES, ROW_CODES, read_table
from stages.llm.params import TrainLora
from stages.llm.score import score_prompts
from stages.llm.scoring_run import trained_llm
from stages.llm.steps import starting_point, train_step, write_adapter
from stages.llm.variants import TrainingSettings, training_settings, variant_entry
from stages.measures.slices import sliced_metrics
from stages.prompts.rows import PromptRows, read_prompts, sample_groups
from stages.prompts.settings import PromptSettings, prompt_settings
from stages.prompts.write import write_prompts

# Each but for what it changes: of the prompts, and of training.
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "words": ({}, {}),
    "digits": ({"bits": "digits"}, {}),
    "dot-decimal": ({"compress": True}, {}),
    "words, steps of 8 rows": ({}, {"batch_rows": 8}),
    "words, hard labels": ({}, {"labels": "hard"}),
    "words, short rows first": ({}, {"order": "phased"}),
    "words, nine levels": ({"rate_levels": 9}, {}),
    "words, 2,500 whole rows": ({}, {"train_rows": {"codes": 2500}}),
    "words, no levels": ({"fields": ["titles", "codes"]}, {}),
    "words, codes of liked items": (
        {"fields": ["titles", "rates", "codes", "history_codes"]},
        {},
    ),
}
FOUND = Path("benchmarks/searches/prompts.json")


def main() -> None:
    """Runs the search in the working folder."""
    search(
        WAYS,
        lambda way, seed, rows: trained_and_judged(*WAYS[way], seed=seed, rows=rows),
        rows=1000,
        found_in=FOUND,
        description=__doc__,
    )


def search(
    ways: Iterable[str],
    measure: Callable[[str, int, int], dict[str, float]],
    *,
    rows: int,
    found_in: Path,
    description: str | None,
) -> None:
    """Measures the ways that the command line asks for, and adds what is found to a JSON file.

    Args:
        ways: their names, all of which run by default.
        measure: from a way, a seed and the validation rows to score to what is found.
        rows: these rows, by default.
        found_in: the file, by default.
        description: of the program, whose first line its help shows.
    """
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--ways", nargs="*", default=list(ways), choices=list(ways))
    parser.add_argument("--seeds", type=int, nargs="*", default=[1])
    parser.add_argument("--rows", type=int, default=rows, help="validation rows to score")
    parser.add_argument("--to", type=Path, default=found_in, help=f"(default: {found_in})")
    args = parser.parse_args()
    found = json.loads(args.to.read_text()) if args.to.exists() else {}
    of_data = found.setdefault(load_shared("dataset"), {})
    for way in args.ways:
        for seed in args.seeds:
            measured = measure(way, seed, args.rows)
            of_data.setdefault(way, {})[str(seed)] = measured
            print(way, seed, json.dumps(measured), flush=True)
            args.to.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def trained_and_judged(
    of_prompts: dict[str, Any], of_training: dict[str, Any], *, seed: int, rows: int
) -> dict[str, float]:
    """Trains step 2 in one way; returns how it ranks validation rows."""
    prompts = changed_prompts(of_prompts)
    training = training_settings("codes")
    training = replace(
        training,
        shown=prompts.shown,
        section=load_section(
            TrainLora,
            "train_lora",
            changes={**variant_entry("codes").changes, **of_training},
        ),
        seed=training.seed + seed - 1,
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder, title = Path(scratch) / "prompts", json.dumps([of_prompts, of_training])
        write_prompts(
            prompts, folder, interactions=INTERACTIONS_FOLDER, llm=LLM_FOLDER, title=title
        )
        drawn, scores, seconds = trained_scores(training, folder, title=title, rows=rows)
    return {
        "seconds": round(seconds),
        "tokens": float(drawn.n_tokens.mean()),
        **judged(drawn, scores),
    }


def trained_scores(
    training: TrainingSettings, prompts: Path, *, title: str, rows: int
) -> tuple[PromptRows, NDArray[np.float32], float]:
    """Trains an adapter; returns validation rows of whole users, its scores, and its seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        adapter = Path(scratch) / "adapter"
        llm = starting_point(training, LLM_FOLDER)
        start = time.monotonic()
        tuned = train_step(llm, training, prompts, scratch=Path(scratch) / "work", title=title)
        seconds = time.monotonic() - start
        write_adapter(llm, tuned, training.section.score, adapter)
        trained, score = trained_llm(LLM_FOLDER, adapter, training.section.precision)
    path = prompts / "valid.parquet"
    drawn = read_prompts(path, sample_groups(path, rows, "user", generator(1, "judge")))
    scores = score_prompts(trained, drawn.prompts, prefixes=drawn.prefixes, score=score)
    return drawn, scores, seconds


def changed_prompts(changes: dict[str, Any]) -> PromptSettings:
    """Returns the settings of BinLLM's prompts, less what a way changes."""
    settings = prompt_settings("codes")
    of_section = {name: value for name, value in changes.items() if name != "compress"}
    section = settings.section.model_copy(update=of_section)
    return replace(settings, section=section, compress=changes.get("compress", False))


def judged(drawn: PromptRows, scores: NDArray[np.float32]) -> dict[str, float]:
    """Returns AUC and UAUC of scores and of the teacher, and what of the teacher is read.

    `main_effects_read` and `codes_read` are the factors with which the two parts of the teacher's
    log-odds stand in the scores: 1 is as much as in the teacher.
    """
    log_odds = logit(np.clip(drawn.teacher.astype(np.float64), 1e-6, 1 - 1e-6))
    of_codes = inner_products(drawn.keys)
    parts = np.stack([log_odds - of_codes, of_codes], axis=1)
    read = LinearRegression().fit(parts, scores)
    return {
        **ranked_beside_teacher(drawn, scores),
        "main_effects_read": float(read.coef_[0]),
        "codes_read": float(read.coef_[1]),
    }


def ranked_beside_teacher(drawn: PromptRows, scores: NDArray[np.float32]) -> dict[str, float]:
    """Returns the number of rows, AUC and UAUC of scores and of the teacher, and how they agree."""
    uids = drawn.keys["uid"].to_numpy()
    found: dict[str, float] = {"rows": len(scores)}
    for name, ranked in (("", scores), ("teacher_", drawn.teacher)):
        metrics = sliced_metrics(uids, drawn.labels, ranked, {})
        found |= {f"{name}{metric}": metrics[metric] for metric in ("auc", "uauc")}
    return {**found, "spearman": float(spearmanr(scores, drawn.teacher)[0])}


def inner_products(keys: pa.Table) -> NDArray[np.float64]:
    """Returns (n,) the codes' part of the log-odds of rows."""
    folder = prompt_settings("codes").codes_folder
    assert folder is not None
    rows = dict(
        zip(*read_table(folder / "rows.parquet", ROW_CODES).to_pydict().values(), strict=True)
    )
    items = read_table(folder / "items.parquet", ITEM_CODES).to_pydict()
    of_item = dict(zip(items["iid"], items["packed"], strict=True))
    user, item = (
        np.unpackbits(np.frombuffer(b"".join(codes), np.uint8).reshape(len(keys), -1), axis=1)
        for codes in (
            [rows[row] for row in keys["row"].to_pylist()],
            [of_item[iid] for iid in keys["iid"].to_pylist()],
        )
    )
    facts = json.loads((METRICS / f"rows/{folder.name}.json").read_text())
    return facts["fit"]["scale"] * (2.0 * (user == item) - 1.0).sum(axis=1)


def markdown(found: dict[str, Any]) -> str:
    """Returns what was found as a table: means over seeds, one line for each way."""
    lines = [
        "| data | way | AUC (its codes) | UAUC (its codes) | Spearman to the codes "
        "| main effects read | codes read |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for data, ways in found.items():
        for way, by_seed in ways.items():
            mean = {
                key: float(np.mean([measured[key] for measured in by_seed.values()]))
                for key in next(iter(by_seed.values()))
            }
            cells = (
                data,
                way,
                f"{mean['auc']:.4f} ({mean['teacher_auc']:.4f})",
                f"{mean['uauc']:.4f} ({mean['teacher_uauc']:.4f})",
                f"{mean['spearman']:.3f}",
                f"{mean['main_effects_read']:.2f}",
                f"{mean['codes_read']:.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
