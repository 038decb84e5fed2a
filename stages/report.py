"""Writes the page of a run, one HTML file that asks no network: `python -m stages.report`.

Reads what git keeps in metrics/, ten of BinLLM's test prompts with their scores, and what is known
of the LLM. Writes data/report/report.html: the headline, the table with intervals, all plots, the
prompts, data, LLM, versions, commit and the params that differ from the commit's.
"""

import platform
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter

from stages.io.command import start
from stages.io.outputs import replacing
from stages.io.params import load_key, load_section, load_shared
from stages.io.paths import (
    LLM_FOLDER,
    PLANNED_ROWS,
    REPORT,
    predictions,
    prompts_folder,
)
from stages.io.tables import PREDICTIONS, PROMPTS, read_json, read_table
from stages.llm.hardware import best_device, resolve_precision
from stages.llm.params import Scoring
from stages.measures.page.html import Prompt, prompts_along_the_scores, run_page
from stages.measures.page.record import (
    Record,
    commit_of_folder,
    default_params,
    from_folder,
    read_record,
)
from stages.measures.planned import OURS, read_rows

_PACKAGES = ("torch", "transformers", "peft", "scikit-learn", "pandas", "dvc")
_SECTIONS = (
    *("seed", "dataset", "compress", "codes", "prompts", "variants", "fetch_data"),
    *("preprocess", "pretrain_hash", "materialize_prompts", "train_lora", "predict", "cost"),
    *("evaluate", "compare", "compare_llm"),
)


def main() -> None:
    """Reads the record, writes the page."""
    for section in _SECTIONS:  # all are shown, so all are keys of this stage
        load_key(section, TypeAdapter(Any))
    record = read_record("this run", from_folder)
    page = run_page(record, _prompts(), _provenance(record), default_params())
    with replacing(REPORT) as folder:
        folder.mkdir()
        (folder / "report.html").write_text(page, encoding="utf-8")
    print(f"{REPORT / 'report.html'}: the page of this run, for any browser")


def _prompts() -> list[Prompt]:
    planned = read_rows(PLANNED_ROWS)[OURS]
    written = prompts_folder(planned.prompts or OURS) / "test.parquet"
    prompts = read_table(written, PROMPTS, ["row", "label", "prefix", "suffix"]).to_pandas()
    scored = read_table(predictions(OURS), PREDICTIONS, ["row", "score"]).to_pandas()
    both = prompts.merge(scored, on="row", validate="one_to_one")
    return prompts_along_the_scores(both.assign(text=both["prefix"] + both["suffix"]))


def _provenance(record: Record) -> dict[str, str]:
    """Returns what the run was made of, in words, by what it is called."""
    data, params = record.data, record.params
    llm = read_json(LLM_FOLDER / "llm.json")
    splits = [
        f"{data[name]['rows']:,} {name} ({data[name]['positive_share']:.0%} liked)"
        for name in ("train", "valid", "test")
    ]
    asked = load_section(Scoring, "predict").precision
    precision = str(resolve_precision(asked, best_device())).removeprefix("torch.")
    packages = [f"{name} {version(name)}" for name in _PACKAGES]
    return {
        "Data": f"{data['dataset']}: {data['rows']:,} rows, {data['users']:,} users, "
        f"{data['items']:,} items",
        "Split": f"{params['preprocess.split'] or 'that of the data set'}: {', '.join(splits)}",
        "LLM": f"{load_shared('llm').source}, {llm['layers']} layers, "
        f"{llm['parameters'] / 1e6:,.1f} M parameters, sha256 {llm['sha256'][:16]}…",
        "Precision": precision if asked == precision else f"{asked} ({precision} here)",
        "Seed": str(params["seed"]),
        "Versions": ", ".join([f"Python {platform.python_version()}", *packages]),
        "Commit": commit_of_folder() or "not known (no git here)",
    }


if __name__ == "__main__":
    start(main)
