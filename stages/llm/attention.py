"""Attention over packed groups: block by block, with plain matrix products.

All groups of a batch lie one after the other in one sequence, so that linear layers see no padding.
A token looks only at its own group's prefix and, causally, at its own row. That is computed per
block: a prefix with the first few rows of its group, or further rows with the prefix's keys.

On a CPU in bfloat16, products and softmax of a block are 2 to 3 times as fast as PyTorch's fused
attention with a mask (benchmarks/README.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from stages.io.errors import InputError

PACKED_ATTENTION = "packed_blocks"


@dataclass(frozen=True)
class Block:
    """Tokens of one group that are attended together.

    Attributes:
        start: first token that asks.
        stop: token after the last one that asks.
        prefix: (start, stop) of the group's prefix where it lies before `start`; else None.
        bias: (asking, looked at) 0 where a token may look, -inf elsewhere.
    """

    start: int
    stop: int
    prefix: tuple[int, int] | None
    bias: Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> "Block":
        """Returns the block with its bias on `device` in `dtype`."""
        return Block(self.start, self.stop, self.prefix, self.bias.to(device, dtype))


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    blocks: Sequence[Block],
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attends within blocks; the signature is that of transformers' attention functions.

    Args:
        module: the attention layer; not used.
        query: (1, heads, tokens, width).
        key: (1, key heads, tokens, width); heads are a multiple of key heads.
        value: (1, key heads, tokens, width).
        attention_mask: not used: blocks say who looks where.
        scaling: of the products of queries and keys.
        blocks: of the batch, in order, covering all tokens.
        sliding_window: how far the layer looks back, where that is bounded.

    Raises:
        InputError: a row is longer than `sliding_window`.

    Returns:
        (1, tokens, heads, width), and None for the weights.
    """
    if sliding_window is not None and max(b.bias.shape[1] for b in blocks) > sliding_window:
        raise InputError(
            f"llm: a prompt is longer than the {sliding_window} tokens a layer looks back"
        )
    heads, width, key_heads = query.shape[1], query.shape[3], key.shape[1]
    query, key, value = query[0] * scaling, key[0], value[0]
    parts = []
    for block in blocks:
        here = slice(block.start, block.stop)
        keys, values = key[:, here], value[:, here]
        if block.prefix:
            before = slice(*block.prefix)
            keys = torch.cat([key[:, before], keys], dim=1)
            values = torch.cat([value[:, before], values], dim=1)
        asking, looked_at = block.bias.shape
        # Query heads that share a key head are rows of one product.
        queries = query[:, here].reshape(key_heads, -1, width)
        products = torch.bmm(queries, keys.transpose(1, 2)).view(heads, asking, looked_at)
        weights = (products + block.bias).softmax(-1)
        out = torch.bmm(weights.view(key_heads, -1, looked_at), values)
        parts.append(out.view(heads, asking, width))
    return torch.cat(parts, dim=1).transpose(0, 1).unsqueeze(0).contiguous(), None


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
