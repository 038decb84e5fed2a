"""Measures what codes cost in the prompt: `python -m stages.cost`.

The paper's claim (§3.3.2, Figure 3) is that dot-decimal codes make scoring faster than bits. Test
rows are written without codes, with bits and with dot-decimal codes, and scored by the LLM without
an adapter: a merged one costs nothing.
"""

from pathlib import Path

import pandas as pd

from stages.common.errors import run_stage
from stages.common.params import load_section, load_shared
from stages.common.plots import write_csv
from stages.common.seeds import generator
from stages.common.tables import INTERACTIONS, read_table, write_json
from stages.cost.measure import measure
from stages.cost.params import Cost, Scoring
from stages.llm.model import load_llm
from stages.llm.prompt_content import Content, MaterializePrompts, read_codes, read_titles
from stages.llm.prompt_text import build_prompts
from stages.llm.prompts import sample_groups
from stages.llm.tokenizer import token_limit

INTERACTIONS_FOLDER = Path("data/interactions")
CODES = Path("data/codes")
LLM_FOLDER = Path("models/llm")


def main() -> None:
    """Writes prompts in three ways, scores them, writes metrics and a plot."""
    params = load_section(Cost, "cost")
    shown = load_section(MaterializePrompts, "materialize_prompts")
    scoring = load_section(Scoring, "predict")
    rng = generator(load_shared("seed"), "cost")
    drawn = sample_groups(Path("data/prompts/text/test.parquet"), params.rows, "user", rng)
    test = read_table(INTERACTIONS_FOLDER / "test.parquet", INTERACTIONS).filter(drawn)
    titles = read_titles(INTERACTIONS_FOLDER)
    contents = {"no codes": Content(titles, True, shown.max_titles)}
    for way, compress in (("bits", False), ("dot-decimal", True)):
        users, items = read_codes(CODES, compress=compress, untrained=shown.untrained_codes)
        contents[way] = Content(titles, True, shown.max_titles, users, items)
    llm = load_llm(LLM_FOLDER, precision=scoring.precision)
    limit = shown.max_tokens or token_limit(LLM_FOLDER)
    written = {
        way: build_prompts(content.rows(test), llm.tokenizer, limit)
        for way, content in contents.items()
    }
    cost = measure(
        llm,
        written,
        test["uid"].to_pylist(),
        repeats=params.repeats,
        token_budget=scoring.token_budget,
    )
    saved = {
        key: 1 - cost["dot-decimal"][key] / cost["bits"][key]
        for key in ("tokens_per_prompt", "tokens_computed", "seconds")
    }
    write_json(
        {"rows": len(test), **cost, "saved_by_compression": saved}, Path("metrics/cost.json")
    )
    table = pd.DataFrame([{"codes": way, **values} for way, values in cost.items()])
    write_csv(table, Path("metrics/plots/cost.csv"))


if __name__ == "__main__":
    run_stage(main)
