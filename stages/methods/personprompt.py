"""PersonPrompt: a trained vector for each user and item, where BinLLM has their codes."""

from stages.llm.adapters import load_for_training
from stages.llm.load import Llm, add_soft_table
from stages.llm.method import Inputs, LlmMethod, TrainedSettings
from stages.prompts.rows import Template
from stages.prompts.templates import count_of_ids, with_ids


class Settings(TrainedSettings):
    """PersonPrompt: `compare_llm.personprompt`."""

    lora: bool


def build(inputs: Inputs, settings: Settings) -> tuple[Llm, Template]:
    """Returns the LLM with a soft token for each user and item, and prompts that hold them."""
    n_users, n_items = inputs.count()
    llm = load_for_training(inputs.llm, inputs.precision, inputs.lora, inputs.seed)
    add_soft_table(llm, count_of_ids(n_users, n_items), inputs.seed)
    return llm, with_ids(n_users)


METHOD = LlmMethod(
    title="PersonPrompt",
    settings=Settings,
    build=build,
    published={"personprompt": {"ml-1m": (0.7214, 0.6563), "amazon-book": (0.7273, 0.5956)}},
)
