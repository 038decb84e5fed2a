"""The key `compare.methods` of `params.yaml`, and no other of that section."""

from pydantic import ConfigDict

from stages.common.chosen import Method
from stages.common.params import Section


class ChooseMethods(Section):
    """Which methods are compared; a wrong value elsewhere in `compare` is not this stage's."""

    model_config = ConfigDict(extra="ignore")

    methods: list[Method]
