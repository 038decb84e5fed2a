"""Settings of stages that run late, checked before anything runs for long."""

from stages.io.params import load_section
from stages.llm.cost_params import Cost
from stages.llm.params import Scoring
from stages.measures.params import Evaluate
from stages.planning.rows import chosen_methods


def check_late_settings() -> None:
    """Reads the sections that no key file holds: a bad value would end the run after the training.

    Raises:
        InputError: a value is not allowed.
    """
    for name, method in chosen_methods().items():
        load_section(method.settings, f"compare.{name}")
    load_section(Scoring, "predict")
    load_section(Cost, "cost")
    load_section(Evaluate, "evaluate")
