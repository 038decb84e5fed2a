"""What each stage depends on beside data: its sources and, where items differ, its settings."""

from pathlib import Path
from typing import Any

from stages import datasets, methods
from stages.collab import recipes
from stages.io import paths
from stages.io.params import entries
from stages.io.sources import import_closure, modules_below
from stages.llm import variants
from stages.llm.method import method_settings
from stages.planning.rows import chosen_llm_methods, chosen_methods
from stages.prompts.settings import prompt_settings


def stage_keys(dataset: str) -> dict[Path, dict[str, Any]]:
    """Returns the sources of each stage as a whole, by key file."""
    metrics = [
        f"stages.measures.metrics.{name}" for name in modules_below("stages.measures.metrics")
    ]
    also = {
        "fetch_data": [datasets.module_of(dataset)],
        "preprocess": [datasets.module_of(dataset)],
        "evaluate": metrics,
        "report": metrics,
    }
    plain = (
        *("fetch_data", "fetch_llm", "preprocess", "export_codes", "predict", "cost", "evaluate"),
        "report",
    )
    return {
        paths.key_file(stage): _sources(f"stages.{stage}", *also.get(stage, [])) for stage in plain
    }


def item_keys() -> dict[Path, dict[str, Any]]:
    """Returns sources and settings of each item of stages whose items differ, by key file."""
    keys = {}
    for name in entries("codes"):
        key = _sources("stages.pretrain_hash") | {"settings": recipes.recipe(name).key()}
        keys[paths.key_file("pretrain_hash", name)] = key
    for name in entries("prompts"):
        key = _sources("stages.materialize_prompts") | {"settings": prompt_settings(name).key()}
        keys[paths.key_file("materialize_prompts", name)] = key
    for name in entries("variants"):
        key = _sources("stages.train_lora") | {"settings": variants.training_settings(name).key()}
        keys[paths.key_file("train_lora", name)] = key
    for name in chosen_methods():
        keys[paths.key_file("compare", name)] = _sources("stages.compare", methods.module_of(name))
    for row, method in chosen_llm_methods().items():
        name, _ = methods.of_row(row)
        sources = _sources("stages.compare_llm", methods.module_of(name))
        settings = {"settings": method_settings(name, method).key()}
        keys[paths.key_file("compare_llm", row)] = sources | settings
    return keys


def _sources(*modules: str) -> dict[str, Any]:
    return {"sources": import_closure(modules)}
