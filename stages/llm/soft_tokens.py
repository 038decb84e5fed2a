"""Soft tokens: places of a prompt that hold a vector instead of a word.

In a prompt's text a soft token is a mark around its number; as a token it is an id above every
vocabulary. Grouping, packing, masks and positions see one more token and nothing else; only where
the LLM looks its input embeddings up is the vector put in. What the vectors are is a module of its
own: a table (Prompt4NR, PersonPrompt) or a map from other vectors (CoLLM).
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase

if TYPE_CHECKING:  # which reads its inputs from here
    from stages.llm.model import Llm

# A soft token's id is this plus its number. No vocabulary reaches it, whatever a tokenizer adds to
# its own and a model to its embeddings.
FIRST_SOFT_ID = 1 << 30

# Unicode keeps these two code points for use within a program: no title may hold them.
_MARK = re.compile("\ufdd0([0-9]+)\ufdd1")


def mark(number: int) -> str:
    """Returns the soft token `number` as it stands in a prompt's text."""
    return f"\ufdd0{number}\ufdd1"


def tokenize(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[list[int]]:
    """Returns each prompt's token ids, soft tokens included.

    The text between two marks is tokenized by itself, so that equal pieces have equal ids whatever
    stands around them; a tokenizer's start token stands in front of the prompt only.
    """
    split = [_MARK.split(prompt) for prompt in prompts]  # text, number, text, number, …, text
    if not split:
        return []
    first = tokenizer([parts[0] for parts in split])["input_ids"]
    texts = sorted({text for parts in split for text in parts[2::2] if text})
    later = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    ids_of = {"": [], **dict(zip(texts, later, strict=True))}
    return [
        start
        + [
            token
            for number, text in zip(parts[1::2], parts[2::2], strict=True)
            for token in (FIRST_SOFT_ID + int(number), *ids_of[text])
        ]
        for start, parts in zip(first, split, strict=True)
    ]


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


def embedding_width(llm: "Llm") -> int:
    """Returns the length of the LLM's token embeddings."""
    return llm.causal_lm.get_input_embeddings().weight.shape[1]


def embedding_scale(llm: "Llm") -> float:
    """Returns the root mean square of an element of the LLM's token embeddings."""
    weight = llm.causal_lm.get_input_embeddings().weight
    return weight.float().square().mean().sqrt().item()


def add_soft_tokens(llm: "Llm", soft_tokens: SoftTokens) -> None:
    """Makes the vectors a part of the LLM, trained, kept and scored with it.

    To be called after an adapter is put on, since that freezes all that was there.
    """
    llm.model.register_module("soft_tokens", soft_tokens.to(llm.device))


def model_inputs(llm: "Llm", input_ids: Tensor) -> dict[str, Tensor]:
    """Returns what the model reads: the ids where all are words, else filled embeddings.

    Args:
        llm: the LLM, with `add_soft_tokens` where there are soft tokens.
        input_ids: token ids of any shape.
    """
    soft = input_ids >= FIRST_SOFT_ID
    if not soft.any():
        return {"input_ids": input_ids}
    embeddings = llm.causal_lm.get_input_embeddings()(input_ids.masked_fill(soft, 0))
    vectors = llm.model.get_submodule("soft_tokens")(input_ids[soft] - FIRST_SOFT_ID)
    return {"inputs_embeds": embeddings.index_put((soft,), vectors.to(embeddings.dtype))}
