"""The section `train_lora` of `params.yaml`: ablations are trained by the same."""

from stages.llm.params import TrainLora

__all__ = ["TrainLora"]
