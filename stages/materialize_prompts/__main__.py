"""Writes the prompts of one kind: `python -m stages.materialize_prompts text|codes`."""

import argparse
from pathlib import Path

from stages.common.errors import run_stage
from stages.common.params import load_section, load_shared
from stages.common.tables import write_json
from stages.llm.prompt_files import write_prompts
from stages.materialize_prompts.params import MaterializePrompts


def main() -> None:
    """Reads interactions (and codes), writes the prompts of the three splits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["text", "codes"])
    kind = parser.parse_args().kind
    params = load_section(MaterializePrompts, "materialize_prompts")
    statistics = write_prompts(
        kind,
        params,
        Path("data/prompts") / kind,
        interactions=Path("data/interactions"),
        codes=Path("data/codes"),
        llm=Path("models/llm"),
        seed=load_shared("seed") if kind == "codes" else None,
        title=f"prompts {kind}",
    )
    write_json(statistics, Path("metrics/prompts") / f"{kind}.json")


if __name__ == "__main__":
    run_stage(main)
