"""Measures what codes cost in the prompt: `python -m stages.cost`.

The paper's claim (section 3.3.2) is that dot-decimal codes make scoring faster than digits. The
test rows that BinLLM's prompts are of are written without codes, with codes as digits, as words and
in dot-decimal form, titles beside them, and scored by the LLM without an adapter: a merged one
costs nothing.
"""

from dataclasses import replace
from typing import Literal

import pandas as pd

from stages.io.command import start
from stages.io.params import load_section, load_shared
from stages.io.paths import INTERACTIONS_FOLDER, LLM_FOLDER, METRICS, PLOTS, prompts_folder
from stages.io.seeds import generator
from stages.io.tables import INTERACTIONS, read_table, write_csv, write_json
from stages.llm.cost import measure
from stages.llm.cost_params import Cost
from stages.llm.load import load_llm
from stages.llm.params import Scoring
from stages.prompts.content import read_content
from stages.prompts.rows import sample_groups
from stages.prompts.settings import PromptSettings, prompt_settings
from stages.prompts.text import build_prompts
from stages.prompts.tokenizer import prompt_limit


def main() -> None:
    """Writes prompts in three ways, scores them, writes metrics and a plot."""
    params, scoring = load_section(Cost, "cost"), load_section(Scoring, "predict")
    rng = generator(load_shared("seed"), "cost")
    drawn = sample_groups(prompts_folder("text") / "test.parquet", params.rows, "user", rng)
    test = read_table(INTERACTIONS_FOLDER / "test.parquet", INTERACTIONS).filter(drawn)
    codes = prompt_settings("codes")
    fields = sorted({*codes.section.fields, "titles", "codes"})
    whole = replace(codes, section=codes.section.model_copy(update={"fields": fields}))
    ways = {
        "no codes": replace(whole, codes=None),
        "digits": in_bits(whole, "digits"),
        "words": in_bits(whole, "words"),
        "dot-decimal": replace(whole, compress=True),
    }
    llm = load_llm(LLM_FOLDER, precision=scoring.precision)
    limit = prompt_limit(LLM_FOLDER, codes.section.max_tokens)
    written = {
        way: build_prompts(
            read_content(settings, INTERACTIONS_FOLDER, test["row"].to_numpy()).rows(test),
            llm.tokenizer,
            limit,
            wording=settings.wording,
        )
        for way, settings in ways.items()
    }
    cost = measure(
        llm,
        written,
        test["uid"].to_pylist(),
        repeats=params.repeats,
        token_budget=scoring.token_budget,
    )
    saved = {
        key: 1 - cost["dot-decimal"][key] / cost["digits"][key]
        for key in ("tokens_per_prompt", "tokens_computed", "seconds")
    }
    write_json({"rows": len(test), **cost, "saved_by_compression": saved}, METRICS / "cost.json")
    table = pd.DataFrame([{"codes": way, **values} for way, values in cost.items()])
    write_csv(table, PLOTS / "cost.csv")


def in_bits(settings: PromptSettings, bits: Literal["words", "digits"]) -> PromptSettings:
    """Returns settings whose codes stand there as digits or words."""
    section = settings.section.model_copy(update={"bits": bits})
    return replace(settings, section=section, compress=False)


if __name__ == "__main__":
    start(main)
