"""Soft tokens: places of a prompt that hold a vector instead of a word.

What they are in a prompt's text and among its token ids says `stages.prompts.tokenizer`. Grouping,
packing, masks and positions see one more token and nothing else; only where the LLM looks its input
embeddings up is the vector put in. What the vectors are is a module of its own: a table (Prompt4NR,
PersonPrompt) or a map from other vectors (CoLLM).
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SoftTokens(nn.Module, ABC):
    """Gives the vectors of soft tokens."""

    @abstractmethod
    def forward(self, numbers: Tensor) -> Tensor:
        """Returns (n, width) float32 vectors of (n,) soft tokens, width being the LLM's."""


class SoftTable(SoftTokens):
    """Each soft token has a vector of its own, all of them trained.

    Attributes:
        vectors: (count, width) trainable.
    """

    def __init__(self, count: int, *, width: int, scale: float, rng: torch.Generator) -> None:
        """Draws the vectors.

        Args:
            count: soft tokens have numbers 0..count - 1.
            width: of the LLM's embeddings.
            scale: root mean square of an element; see `embedding_scale`.
            rng: source of the vectors.
        """
        super().__init__()
        self.vectors = nn.Parameter(torch.empty(count, width))
        nn.init.normal_(self.vectors, std=scale, generator=rng)

    def forward(self, numbers: Tensor) -> Tensor:
        """Returns the (n, width) vectors of (n,) soft tokens."""
        return F.embedding(numbers, self.vectors)


class MappedVectors(SoftTokens):
    """Each soft token is a frozen vector, mapped to the LLM's embeddings by two layers.

    CoLLM (Zhang et al. 2023) section 3.2: one map for users and items, ten times as wide inside as
    the vectors.

    Attributes:
        vectors: (count, dim) frozen.
        inner: dim -> hidden, trainable.
        outer: hidden -> width, trainable.
    """

    vectors: Tensor

    def __init__(
        self, vectors: Tensor, *, hidden: int, width: int, scale: float, rng: torch.Generator
    ) -> None:
        """Draws the map such that vectors of unit scale come out at the embeddings' scale.

        Args:
            vectors: (count, dim) of soft tokens 0..count - 1; a root mean square of 1 is best.
            hidden: width between the layers.
            width: of the LLM's embeddings.
            scale: root mean square of an element that comes out; see `embedding_scale`.
            rng: source of the weights.
        """
        super().__init__()
        self.register_buffer("vectors", vectors.float(), persistent=False)
        dim = vectors.shape[1]
        # Linear would draw its own initial values from torch's global stream.
        self.inner = nn.utils.skip_init(nn.Linear, dim, hidden)
        self.outer = nn.utils.skip_init(nn.Linear, hidden, width)
        nn.init.normal_(self.inner.weight, std=(2 / dim) ** 0.5, generator=rng)
        nn.init.normal_(self.outer.weight, std=scale / hidden**0.5, generator=rng)
        nn.init.zeros_(self.inner.bias)
        nn.init.zeros_(self.outer.bias)

    def forward(self, numbers: Tensor) -> Tensor:
        """Returns the (n, width) mapped vectors of (n,) soft tokens."""
        return self.outer(F.relu(self.inner(F.embedding(numbers, self.vectors))))
