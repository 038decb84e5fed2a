"""Prompt4NR: trained soft tokens around the fields of the prompt (Zhang & Wang 2023)."""

from pydantic import Field

from stages.llm.adapters import load_for_training
from stages.llm.load import Llm, add_soft_table
from stages.llm.method import Inputs, LlmMethod, TrainedSettings
from stages.prompts.rows import Template
from stages.prompts.templates import SOFT_PLACES, with_soft_prompt


class Settings(TrainedSettings):
    """Prompt4NR: `compare_llm.prompt4nr`."""

    tokens: int = Field(ge=1, le=256)
    lora: bool


def build(inputs: Inputs, settings: Settings) -> tuple[Llm, Template]:
    """Returns the LLM with soft tokens of its own, and prompts that hold them."""
    llm = load_for_training(inputs.llm, inputs.precision, inputs.lora, inputs.seed)
    add_soft_table(llm, SOFT_PLACES * settings.tokens, inputs.seed)
    return llm, with_soft_prompt(settings.tokens)


METHOD = LlmMethod(
    title="Prompt4NR",
    settings=Settings,
    build=build,
    published={"prompt4nr": {"ml-1m": (0.7071, 0.6739), "amazon-book": (0.7224, 0.5881)}},
)
