"""Trains the adapter of one variant: `python -m stages.train_lora text|codes|…`.

Step 1 (`text`) starts from nothing; step 2 (`codes`) goes on from step 1's adapter, or from nothing
with `tuning: intuitive` (BinLLM section 2.2.2). Killed and started again, it goes on where it was.
"""

from stages.io.paths import LLM_FOLDER, PLOTS, adapter_folder, facts, fit_cost, prompts_folder
from stages.io.scratch import finished, scratch_folder
from stages.io.sources import import_closure
from stages.io.tables import write_json
from stages.llm.adapters import trainable_parameters
from stages.llm.curve import write_curve
from stages.llm.launch import start_in_processes
from stages.llm.live import asked_watch, nobody
from stages.llm.processes import processes
from stages.llm.steps import card_of, starting_point, train_step, write_adapter
from stages.llm.variants import training_settings


def main(variant: str) -> None:
    """Reads prompts, trains, writes the adapter, its curve and its facts."""
    settings = training_settings(variant)
    prompts = prompts_folder(settings.prompts)
    scratch = scratch_folder(
        f"train_lora-{variant}",
        [LLM_FOLDER, prompts, *([settings.start] if settings.start else [])],
        {"settings": settings.key(), "sources": import_closure(["stages.train_lora"])},
    )
    peers, title = processes(), f"train_lora {variant}"
    watch = asked_watch(title) if peers.rank == 0 else nobody
    llm = starting_point(settings, LLM_FOLDER)
    tuned = train_step(
        llm, settings, prompts, scratch=scratch, title=title, peers=peers, watch=watch
    )
    if peers.rank > 0:
        return
    card = card_of(variant, llm, LLM_FOLDER, tuned, settings)
    write_adapter(llm, tuned, settings.section.score, adapter_folder(variant), card)
    write_curve(tuned, PLOTS / f"training_{variant}.csv")
    trained = sum(p.numel() for p in trainable_parameters(llm.model).values())
    best = {"valid_auc": tuned.best["auc"], "rows": tuned.best["rows"]}
    write_json({**best, "parameters": trained}, facts(variant))
    write_json({"fit_seconds": tuned.seconds}, fit_cost(variant))
    finished(scratch)


if __name__ == "__main__":
    start_in_processes(main, "stages.train_lora", "variant")
