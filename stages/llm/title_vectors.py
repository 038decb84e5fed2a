"""Titles as vectors of a frozen text encoder, in which like titles lie near each other."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from stages.llm.encoder import fetch_encoder
from stages.llm.encoding import encode
from stages.prompts.tokenizer import token_limit

# Tokens that are read of a title, if the encoder reads as many.
_MOST_TOKENS = 64
# What is shorter than this differs from the mean title by rounding alone.
_LEAST_LENGTH = 1e-4


def title_vectors(titles: Sequence[str], encoder: str, *, named: str) -> Tensor:
    """Returns each title's vector less the mean title's, of length 1.

    What all titles have in common, such as a year in brackets, tells nothing of any two.

    Args:
        titles: of items 1..n_items.
        encoder: where the encoder comes from; see `stages.llm.encoder.write_encoder`.
        named: the key in `params.yaml` that names it.

    Returns:
        (n_items + 1, width) float32. Row 0 is padding, zeros; nearly so is a title like the mean.

    Raises:
        InputError: `encoder` names nothing, or what it holds is no encoder.
    """
    folder = fetch_encoder(encoder, named=named)
    most = min(_MOST_TOKENS, token_limit(folder))
    found = encode(titles, folder, job="titles", max_tokens=most, precision="float32")
    vectors = torch.zeros(len(titles) + 1, found.shape[1])
    vectors[1:] = normalize(found - found.mean(0), dim=-1, eps=_LEAST_LENGTH)
    return vectors
