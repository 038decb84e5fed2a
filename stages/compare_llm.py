"""Trains a compared method with an LLM and scores test rows: `python -m stages.compare_llm icl|…`.

Reads text prompts and the LLM; for CoLLM, named with the vectors that it maps (`collm_mf`), also
step 1's adapter and those vectors. Writes a row of the table. Killed and started again, it goes on
where it was.
"""

import pyarrow as pa

from stages import methods
from stages.io.command import start
from stages.io.errors import InputError
from stages.io.params import load_shared
from stages.io.paths import facts, fit_cost, predictions, scoring_cost
from stages.io.scratch import finished, scratch_folder
from stages.io.seeds import derived_seed
from stages.io.sources import import_closure
from stages.io.tables import PREDICTIONS, write_json, write_table
from stages.llm.live import asked_watch, nobody
from stages.llm.method import LlmMethod, inputs_of, method_settings
from stages.llm.method_run import draw_rows, train_method
from stages.llm.scoring_run import score_rows


def main(row: str) -> None:
    """Reads params and inputs, trains, scores, writes scores, facts and costs."""
    name, vectors = methods.of_row(row)
    method, root = methods.load(name), load_shared("seed")
    if not isinstance(method, LlmMethod) or method.on_vectors != (vectors is not None):
        raise InputError(f"method {row!r}: no method with an LLM (CoLLM's are collm_mf, …)")
    settings = method_settings(name, method)
    inputs = inputs_of(settings, vectors, derived_seed(root, f"compare_llm.{row}"))
    sources = import_closure(["stages.compare_llm", methods.module_of(name)])
    scratch = scratch_folder(
        f"compare_llm-{row}",
        inputs.files(),
        {**settings.key(), "seed": root, "sources": sources},
    )
    watch = asked_watch(f"train {row}") if settings.training else nobody
    llm, template = method.build(inputs, settings.own)
    rows = draw_rows(inputs.prompts, settings, template, root)
    fitted = train_method(llm, rows, settings, inputs.seed, scratch, f"train {row}", watch)
    scores, seconds = score_rows(
        llm,
        rows["test"],
        score=settings.protocol.score,
        token_budget=settings.scoring.token_budget,
        scratch=scratch / "test",
        title=f"score {row}",
    )
    scored = rows["test"].keys.append_column("score", pa.array(scores))
    write_table(scored, predictions(row), PREDICTIONS)
    write_json(fitted.facts, facts(row))
    write_json({"fit_seconds": fitted.seconds}, fit_cost(row))
    write_json({"rows": len(scored), "seconds": seconds}, scoring_cost(row))
    finished(scratch)


if __name__ == "__main__":
    start(main, "method")
