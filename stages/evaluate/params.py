"""The section `evaluate` of `params.yaml`."""

from stages.common.quality import Measures


class Evaluate(Measures):
    """How predictions are measured."""
