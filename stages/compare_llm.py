"""Trains a compared method with an LLM and scores test rows: `python -m stages.compare_llm icl|…`.

Reads text prompts and the LLM; for CoLLM, named with the vectors that it maps (`collm_mf`), also
step 1's adapter and those vectors. Writes a row of the table, and its scores under further seeds.
Killed and started again, it goes on where it was.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from stages import methods
from stages.io.command import start
from stages.io.errors import InputError
from stages.io.params import load_shared
from stages.io.paths import facts, fit_cost, predictions, repeats, scoring_cost
from stages.io.scratch import finished, scratch_folder
from stages.io.seeds import derived_seed
from stages.io.sources import import_closure
from stages.io.tables import PREDICTIONS, REPEATS, write_json, write_table
from stages.llm.live import asked_watch, nobody
from stages.llm.method import LlmMethod, MethodSettings, inputs_of, method_settings
from stages.llm.method_run import TunedMethod, draw_rows, train_method
from stages.llm.scoring_run import score_rows


def main(row: str) -> None:
    """Reads params and inputs, trains, scores, writes scores, facts and costs."""
    name, vectors = methods.of_row(row)
    method, root = methods.load(name), load_shared("seed")
    if not isinstance(method, LlmMethod) or method.on_vectors != (vectors is not None):
        raise InputError(f"method {row!r}: no method with an LLM (CoLLM's are collm_mf, …)")
    settings = method_settings(name, method)
    seeds = range(root, root + settings.protocol.seeds)
    first, *further = [_run(row, method, settings, vectors, seed, root) for seed in seeds]
    again = map(_repetition, further)
    write_table(first.scored, predictions(row), PREDICTIONS)
    write_table(pa.concat_tables([REPEATS.empty_table(), *again]), repeats(row), REPEATS)
    write_json(first.fitted.facts, facts(row))
    write_json({"fit_seconds": first.fitted.seconds}, fit_cost(row))
    write_json({"rows": len(first.scored), "seconds": first.seconds}, scoring_cost(row))
    finished(first.scratch)  # and with it those of the other seeds: they are one job


@dataclass(frozen=True)
class _Run:
    """A method under one root seed.

    Attributes:
        seed: the root seed.
        fitted: how training went.
        scored: the test rows with their scores (schema PREDICTIONS).
        seconds: of the scoring.
        scratch: where its work lies until it is written.
    """

    seed: int
    fitted: TunedMethod
    scored: pa.Table
    seconds: float
    scratch: Path


def _run(
    row: str, method: LlmMethod, settings: MethodSettings, vectors: str | None, seed: int, root: int
) -> _Run:
    """Trains under a seed and scores the test rows, which are the same under all: `root`'s."""
    name, _ = methods.of_row(row)
    inputs = inputs_of(settings, vectors, derived_seed(seed, f"compare_llm.{row}"))
    shown = row if seed == root else f"{row}, seed {seed}"
    key = settings.key()
    del key["protocol"]["seeds"]  # each seed's work is the same, however many there are
    scratch = scratch_folder(
        f"compare_llm-{row}",
        inputs.files(),
        {
            **key,
            "seed": [seed, root],
            "sources": import_closure(["stages.compare_llm", methods.module_of(name)]),
        },
    )
    watch = asked_watch(f"train {shown}") if settings.training else nobody
    llm, template = method.build(inputs, settings.own)
    rows = draw_rows(inputs.prompts, settings, template, seed=seed, test_seed=root)
    fitted = train_method(llm, rows, settings, inputs.seed, scratch, f"train {shown}", watch)
    scores, seconds = score_rows(
        llm,
        rows["test"],
        score=settings.protocol.score,
        token_budget=settings.scoring.token_budget,
        scratch=scratch / "test",
        title=f"score {shown}",
    )
    scored = rows["test"].keys.append_column("score", pa.array(scores))
    return _Run(seed, fitted, scored, seconds, scratch)


def _repetition(run: _Run) -> pa.Table:
    """Returns what a run scored (schema REPEATS)."""
    columns = {name: run.scored[name] for name in ("row", "score")}
    return pa.table({"seed": [run.seed] * len(run.scored), **columns}, schema=REPEATS)


if __name__ == "__main__":
    start(main, "method")
