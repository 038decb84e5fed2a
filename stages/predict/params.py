"""The section `predict` of `params.yaml`; each key is explained there."""

from stages.llm.params import Scoring


class Predict(Scoring):
    """Which test rows are scored, and how."""
