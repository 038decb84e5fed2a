"""Writes one set of prompts: `python -m stages.materialize_prompts text|codes|…`.

Reads the interactions, the LLM's tokenizer and, where the prompts hold codes, their tables.
"""

from stages.io.command import start
from stages.io.paths import INTERACTIONS_FOLDER, LLM_FOLDER, METRICS, prompts_folder
from stages.io.tables import write_json
from stages.prompts.settings import prompt_settings
from stages.prompts.write import write_prompts


def main(prompts: str) -> None:
    """Writes the prompts of the three splits, and counts."""
    settings = prompt_settings(prompts)
    statistics = write_prompts(
        settings,
        prompts_folder(prompts),
        interactions=INTERACTIONS_FOLDER,
        llm=LLM_FOLDER,
        title=f"prompts {prompts}",
    )
    write_json(statistics, METRICS / "prompts" / f"{prompts}.json")


if __name__ == "__main__":
    start(main, "prompts")
