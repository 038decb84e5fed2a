"""In-context learning: the LLM as it is, with a few answered prompts before the question."""

from pathlib import Path

import numpy as np
from pydantic import Field

from stages.io.errors import InputError
from stages.io.params import Section
from stages.io.seeds import generator
from stages.io.tables import PROMPTS, read_table
from stages.llm.load import Llm, load_llm
from stages.llm.method import Inputs, LlmMethod
from stages.prompts.rows import Template, read_prompts
from stages.prompts.templates import with_examples
from stages.prompts.tokenizer import ANSWERS


class Settings(Section):
    """In-context learning: `compare_llm.icl`."""

    examples: int = Field(ge=0, le=64)


def build(inputs: Inputs, settings: Settings) -> tuple[Llm, Template]:
    """Returns the LLM, untrained, and prompts with examples drawn by seed."""
    rng = generator(inputs.seed, "examples")
    examples = draw_examples(inputs.prompts / "train.parquet", settings.examples, rng)
    return load_llm(inputs.llm, precision=inputs.precision), with_examples(examples)


def draw_examples(path: Path, n: int, rng: np.random.Generator) -> list[str]:
    """Draws answered prompts, half of them liked (the odd one, too), in random order.

    Raises:
        InputError: there are not so many rows of a label.
    """
    labels = read_table(path, PROMPTS, ["label"])["label"].to_numpy()
    chosen = np.zeros(len(labels), dtype=bool)
    for label, count in ((1, n - n // 2), (0, n // 2)):
        rows = np.flatnonzero(labels == label)
        if len(rows) < count:
            raise InputError(f"{path}: {len(rows)} rows with label {label}, {count} are asked for")
        chosen[rng.choice(rows, count, replace=False)] = True
    if not n:
        return []
    drawn = read_prompts(path, chosen)
    yes, no = ANSWERS
    answered = [
        prompt + (yes if label else no)
        for prompt, label in zip(drawn.prompts, drawn.labels, strict=True)
    ]
    return [answered[place] for place in rng.permutation(n)]


METHOD = LlmMethod(
    title="ICL",
    settings=Settings,
    build=build,
    published={"icl": {"ml-1m": (0.5320, 0.5268), "amazon-book": (0.4820, 0.4856)}},
)
