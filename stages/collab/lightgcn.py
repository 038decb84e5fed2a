"""LightGCN: vectors smoothed over the graph of who liked what (He et al. 2020)."""

import warnings
from typing import Any

import torch
from torch import Tensor

from stages.collab.fitting import Rows
from stages.collab.layers import vector_table
from stages.collab.vectors import VectorModel


class LightGCN(VectorModel):
    """Inner product of vectors that are the mean over the layers of a linear propagation.

    Users and items are the nodes of one graph, users first; ids 0, the paddings, are nodes
    without neighbours.

    Attributes:
        nodes: (n_users + 1 + n_items + 1, dim) vectors of layer 0, all that is learned.
    """

    def __init__(
        self,
        positives: Rows,
        *,
        n_users: int,
        n_items: int,
        dim: int,
        layers: int,
        init_std: float,
        rng: torch.Generator,
    ) -> None:
        """Builds the graph and draws the vectors of layer 0.

        Args:
            positives: the rows that are the graph's edges; one pair counts once.
            n_users: users have ids 1..n_users.
            n_items: items have ids 1..n_items.
            dim: length of the vectors.
            layers: how often vectors are propagated; 0 is plain matrix factorisation.
            init_std: standard deviation of the initial elements.
            rng: source of the initial elements.
        """
        super().__init__()
        self._sides = (n_users + 1, n_items + 1)
        self._layers = layers
        n_nodes = sum(self._sides)
        self.nodes = vector_table(n_nodes, dim, std=init_std, rng=rng)
        # A plain attribute: as a buffer it would be copied with each best state.
        self._adjacency = normalised_adjacency(
            positives.users, positives.items + n_users + 1, n_nodes
        )

    def vectors(self) -> Tensor:
        """Returns all nodes' vectors: e = mean over k of e(k), e(k + 1) = D^-1/2 A D^-1/2 e(k).

        He et al. 2020, equations 7 (in matrix form) and 8 with equal weights.
        """
        layer = total = self.nodes
        for _ in range(self._layers):
            layer = _Neighbours.apply(self._adjacency, layer)
            total = total + layer
        return total / (self._layers + 1)

    def all_vectors(self) -> tuple[Tensor, Tensor]:
        """Returns (n_users + 1, dim) and (n_items + 1, dim) vectors of one propagation."""
        users, items = self.vectors().split(self._sides)
        return users, items


class _Neighbours(torch.autograd.Function):
    """Product of a symmetric sparse matrix and vectors.

    Its gradient is the same product. PyTorch's own would transpose the matrix at each step, in a
    format five times as slow (`python -m benchmarks.propagation`).
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, vectors: Tensor) -> Tensor:
        """Returns (n, dim) matrix @ vectors."""
        ctx.matrix = matrix
        return torch.sparse.mm(matrix, vectors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        """Returns the gradient by the vectors; the matrix has none."""
        return None, torch.sparse.mm(ctx.matrix, gradient)


def normalised_adjacency(one: Tensor, other: Tensor, n_nodes: int) -> Tensor:
    """Returns the symmetric D^-1/2 A D^-1/2 of an undirected graph, sparse, by rows.

    Args:
        one: (m,) one end of each edge.
        other: (m,) the other end; repeated edges count once.
        n_nodes: rows and columns of the matrix; a node without edges has a row of zeros.
    """
    edges = torch.unique(torch.stack([one, other]), dim=1)
    both = torch.cat([edges, edges.flip(0)], dim=1)
    degree = torch.bincount(both[0], minlength=n_nodes).double()
    weights = (degree[both[0]] * degree[both[1]]).rsqrt().float()
    shape = (n_nodes, n_nodes)
    by_pairs = torch.sparse_coo_tensor(both, weights, shape, check_invariants=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support")  # "in beta state"
        return by_pairs.coalesce().to_sparse_csr()
