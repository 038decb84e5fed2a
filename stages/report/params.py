"""The section `report` of `params.yaml`."""

from stages.common.quality import Measures


class Report(Measures):
    """How the methods are measured on the rows they share."""
