"""CoLLM: a collaborative method's vectors, mapped to the LLM's embeddings (Zhang et al. 2023).

Step 1's adapter is frozen; the map is all that is trained.
"""

from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor

from stages.collab.vector_file import read_vectors
from stages.io.errors import InputError
from stages.llm.adapters import load_adapter
from stages.llm.load import Llm, add_soft_tokens, embedding_scale, embedding_width, load_llm
from stages.llm.method import Inputs, LlmMethod, TrainedSettings
from stages.llm.soft_tokens import MappedVectors
from stages.prompts.rows import Template
from stages.prompts.templates import with_ids


class Settings(TrainedSettings):
    """CoLLM: `compare_llm.collm`."""

    hidden_times: int = Field(ge=1, le=256)


def build(inputs: Inputs, settings: Settings) -> tuple[Llm, Template]:
    """Returns the LLM with step 1's adapter and the map, and prompts with users and items."""
    assert inputs.vectors is not None
    n_users, n_items = inputs.count()
    llm = load_adapter(load_llm(inputs.llm, precision=inputs.precision), inputs.adapter)
    tables = read_vectors(inputs.vectors, n_users=n_users, n_items=n_items)
    vectors = torch.cat([_of_unit_scale(table, inputs.vectors) for table in tables])
    mapped = MappedVectors(
        vectors,
        hidden=settings.hidden_times * vectors.shape[1],
        width=embedding_width(llm),
        scale=embedding_scale(llm),
        rng=torch.Generator().manual_seed(inputs.seed),
    )
    add_soft_tokens(llm, mapped)
    return llm, with_ids(n_users)


def _of_unit_scale(vectors: Tensor, path: Path) -> Tensor:
    """Returns (n + 1, dim) vectors over the root mean square of their elements."""
    scale = vectors[1:].square().mean().sqrt()
    if not scale > 0:
        raise InputError(f"{path}: all vectors of one side are zero; fit again")
    return vectors / scale


METHOD = LlmMethod(
    title="CoLLM",
    settings=Settings,
    build=build,
    published={
        "collm_mf": {"ml-1m": (0.7295, 0.6875), "amazon-book": (0.8109, 0.6225)},
        "collm_din": {"ml-1m": (0.7243, 0.6897), "amazon-book": (0.8245, 0.6474)},
    },
    on_vectors=True,
)
