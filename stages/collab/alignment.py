"""Brings texts and DIN together: contrastive alignment in subspaces (CTRL, section 3.3)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from stages.collab.din import DeepInterestNetwork
from stages.collab.fitting import Rows
from stages.collab.layers import linear
from stages.io.errors import InputError
from stages.io.progress import Progress


class Subspaces(nn.Module):
    """Projects texts and collaborative representations into M subspaces each, and compares them."""

    def __init__(
        self, text_width: int, width: int, *, subspaces: int, dim: int, rng: torch.Generator
    ) -> None:
        """Draws the projections.

        Args:
            text_width: length of a text's vector.
            width: length of a collaborative representation.
            subspaces: M.
            dim: length of a sub-representation.
            rng: source of the initial weights.
        """
        super().__init__()
        self._shape = (subspaces, dim)
        self.texts = linear(text_width, subspaces * dim, rng)
        self.collaborative = linear(width, subspaces * dim, rng)

    def forward(self, texts: Tensor, collaborative: Tensor) -> Tensor:
        """Compares each text with each collaborative representation.

        A pair's similarity is the sum over the text's sub-representations of the greatest inner
        product with one of the other side's. Sub-representations have length 1, so that the
        temperature means the same whatever their width.

        Args:
            texts: (n, text_width).
            collaborative: (m, width).

        Returns:
            (n, m) similarities, from −M to M.
        """
        ours = normalize(self.texts(texts).unflatten(-1, self._shape), dim=-1)
        theirs = normalize(self.collaborative(collaborative).unflatten(-1, self._shape), dim=-1)
        return torch.einsum("nad,mbd->namb", ours, theirs).amax(-1).sum(1)


def contrastive_loss(similarities: Tensor, temperature: float) -> Tensor:
    """Mean of both directions' cross-entropy of finding a row's own partner in the batch (InfoNCE).

    Args:
        similarities: (n, n), row i's own partner in column i.
        temperature: divides the similarities.
    """
    own = torch.arange(len(similarities))
    logits = similarities / temperature
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


def align(
    din: DeepInterestNetwork,
    rows: Rows,
    texts: Tensor,
    *,
    subspaces: int,
    width: int,
    temperature: float,
    lr: float,
    weight_decay: float,
    batch_size: int,
    epochs: int,
    rng: torch.Generator,
) -> Subspaces:
    """Trains DIN, in place, to represent rows as their texts do; labels are not looked at.

    The paper trains the text encoder along. Here it is frozen, so that every text is encoded once,
    and its side's projection is what learns: a gradient through the encoder would cost three times
    the encoding, in every epoch anew.

    Args:
        din: the model to train, but for the perceptron that scores.
        rows: the rows, with histories.
        texts: (n, text_width) the encoder's vectors of the same rows.
        subspaces: M, see `Subspaces`.
        width: length of a sub-representation.
        temperature: see `contrastive_loss`.
        lr: Adam's step size.
        weight_decay: L2 penalty, on DIN and projections.
        batch_size: rows per step; a row's text is told from those of the rest of its batch.
        epochs: passes over the rows.
        rng: source of the projections and of each epoch's order.

    Returns:
        The projections, which nothing needs afterwards but who wants to see how far it came.

    Raises:
        InputError: the loss is not finite.
    """
    joined = din.users.shape[1] * 3
    compare = Subspaces(texts.shape[1], joined, subspaces=subspaces, dim=width, rng=rng)
    weights = [*din.parameters(), *compare.parameters()]
    adam = torch.optim.Adam(weights, lr=lr, weight_decay=weight_decay, fused=True)
    progress = Progress("ctrl alignment", epochs, "epochs")
    din.train()
    for _ in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(rows), generator=rng).split(batch_size):
            adam.zero_grad(set_to_none=True)
            similarities = compare(texts[batch], din.representations(rows.take(batch)))
            loss = contrastive_loss(similarities, temperature)
            loss.backward()
            adam.step()
            total += loss.item() * len(batch)
        mean = total / len(rows)
        if not math.isfinite(mean):
            raise InputError(f"ctrl alignment: loss is {mean}; try a smaller lr ({lr})")
        progress.advance(1, f"loss {mean:.4f}")
    progress.close(f"loss {mean:.4f}")
    return compare
