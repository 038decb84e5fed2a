"""Fetches the LLM that `llm` in `params.yaml` names: `python -m stages.fetch_llm`.

Writes `models/llm/`: config.json, the weights as safetensors, the tokenizer, and `llm.json`,
which says where all of it came from.
"""

from stages.io.command import start
from stages.io.params import load_shared
from stages.io.paths import LLM_FOLDER
from stages.llm.fetching.write import write_llm


def main() -> None:
    """Reads the params, fetches and converts the LLM, prints what it is."""
    llm = load_shared("llm")
    facts = write_llm(
        source=llm.source, revision=llm.revision, layers=llm.layers, folder=LLM_FOLDER
    )
    print(
        f"{LLM_FOLDER}: {facts['source']}, {facts['layers']} layers, "
        f"{facts['parameters'] / 1e6:,.1f} M parameters, sha256 {facts['sha256'][:12]}…"
    )


if __name__ == "__main__":
    start(main)
