"""One propagation of LightGCN and its gradient: `python -m benchmarks.propagation`.

In two ways that take turns, medians in milliseconds: PyTorch's product of a sparse matrix by pairs
with its own gradient, and ours (by rows; the graph is symmetric, so its gradient is the same
product), and their ratio. One thread, on the liked train rows that the pipeline has prepared.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.alternating import in_turn
from stages.collab.interactions import read_interactions
from stages.io.errors import run_stage
from stages.io.params import load_section
from stages.io.paths import INTERACTIONS_FOLDER
from stages.methods import lightgcn


def main() -> None:
    """Prints the median of each way and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--interactions", type=Path, default=INTERACTIONS_FOLDER)
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = load_section(lightgcn.Settings, "compare.lightgcn")
    data = read_interactions(args.interactions)
    model = lightgcn.build(data, settings, torch.Generator().manual_seed(1))
    by_pairs = model._adjacency.to_sparse_coo().coalesce()

    def pytorchs() -> Tensor:
        layer = total = model.nodes
        for _ in range(settings.layers):
            layer = torch.sparse.mm(by_pairs, layer)
            total = total + layer
        return total / (settings.layers + 1)

    upstream = torch.randn(model.nodes.shape)

    def gradient(way: Callable[[], Tensor]) -> Tensor:
        return torch.autograd.grad(way(), model.nodes, upstream)[0]

    ways = {"PyTorch's": partial(gradient, pytorchs), "ours": partial(gradient, model.vectors)}
    medians = in_turn(ways, args.repeats)
    difference = (ways["ours"]() - ways["PyTorch's"]()).abs().max().item()
    print(f"{len(model.nodes):,} nodes, {by_pairs._nnz():,} edges in both directions")
    for name, median in medians.items():
        print(f"{name:10} {1000 * median:8.2f} ms")
    ratio = medians["PyTorch's"] / medians["ours"]
    print(f"ratio {ratio:.1f}, gradients differ by {difference:.1e}")


if __name__ == "__main__":
    run_stage(main)
