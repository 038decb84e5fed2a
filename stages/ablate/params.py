"""What an ablation reads of `params.yaml`: BinLLM's own sections, with one thing changed."""

from dataclasses import dataclass
from typing import Any, Literal

from stages.common.params import load_section, load_shared
from stages.common.quality import Measures
from stages.llm.params import Scoring, TrainLora
from stages.llm.prompt_content import MaterializePrompts


@dataclass(frozen=True)
class Ablation:
    """What is changed; None leaves BinLLM's own setting.

    Attributes:
        fields: what prompts hold.
        tuning: where training begins.
        compress: codes in dot-decimal form.
    """

    fields: Literal["codes"] | None = None
    tuning: Literal["intuitive"] | None = None
    compress: bool | None = None


# Of BinLLM's Table 3: ID-only, where no step sees a title, and intuitive tuning; and section 3.3.2.
ABLATIONS = {
    "binllm_id_only": Ablation(fields="codes", tuning="intuitive"),
    "binllm_intuitive": Ablation(tuning="intuitive"),
    "binllm_compressed": Ablation(compress=True),
}


@dataclass(frozen=True)
class Params:
    """All that an ablation reads, its change made.

    Attributes:
        seed: the root seed.
        compress: codes in dot-decimal form.
        shown: what stands in prompts.
        training: how the adapter is trained.
        scoring: which test rows are scored, and how.
        measures: how scores are measured.
    """

    seed: int
    compress: bool
    shown: MaterializePrompts
    training: TrainLora
    scoring: Scoring
    measures: Measures

    def values(self) -> dict[str, Any]:
        """Returns all values, by part."""
        plain = {"seed": self.seed, "compress": self.compress}
        parts = (self.shown, self.training, self.scoring, self.measures)
        return plain | {type(part).__name__: part.model_dump() for part in parts}


def read_params(name: str) -> Params:
    """Reads what the ablation `name` needs.

    Raises:
        InputError: a value is not allowed.
    """
    change = ABLATIONS[name]
    shown = load_section(MaterializePrompts, "materialize_prompts")
    training = load_section(TrainLora, "train_lora")
    return Params(
        load_shared("seed"),
        load_shared("compress") if change.compress is None else change.compress,
        shown.model_copy(update={"fields": change.fields} if change.fields else {}),
        training.model_copy(update={"tuning": change.tuning} if change.tuning else {}),
        load_section(Scoring, "predict"),
        load_section(Measures, "compare.measures"),
    )
