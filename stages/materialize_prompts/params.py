"""The section `materialize_prompts` of `params.yaml`: the model lies beside what it shapes."""

from stages.llm.prompt_content import MaterializePrompts

__all__ = ["MaterializePrompts"]
