"""Quality and speed of `pretrain_hash` at the paper's scale: `python -m benchmarks.pretrain_hash`.

1. Quality: five seeds on the published ML-1M split, where `../shared/data/ml-1m-split` lies, with
   the settings of `params.yaml`.
2. Speed: one epoch of `vectors: mf` over generated rows of Amazon-Book's size, against a data
   loader that collates row by row, and the memory it takes.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, TensorDataset

from stages.collab.factorisation import MatrixFactorisation
from stages.collab.fitting import Rows, score, train_epoch
from stages.collab.hash_fitting import fit_codes
from stages.collab.hashing import HashedModel
from stages.collab.interactions import rows_of
from stages.collab.recipes import PretrainHash
from stages.collab.threads import threads
from stages.io.params import load_section
from stages.io.seeds import derived_seed
from stages.io.tables import SPLITS
from stages.measures.metrics.auc import auc
from stages.measures.metrics.uauc import uauc

ML_1M = Path("../shared/data/ml-1m-split")
AMAZON_BOOK = {"users": 22_966, "items": 34_153, "rows": 727_463}


def main() -> None:
    """Runs what the command line asks for; everything by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="?", choices=["quality", "speed"])
    parser.add_argument("--seeds", type=int, default=5, help="seeds 1..n (default 5)")
    args = parser.parse_args()
    params = load_section(PretrainHash, "pretrain_hash")
    print(f"torch {torch.__version__}, one thread")
    if args.only != "quality":
        speed(params)
    if args.only != "speed" and ML_1M.is_dir():
        quality(params, args.seeds)
    elif args.only != "speed":
        print(f"no {ML_1M}: quality is not measured")


def quality(params: PretrainHash, seeds: int) -> None:
    """Prints AUC and UAUC of each seed on ML-1M, their mean and standard deviation."""
    rows = {
        name: rows_of(pq.read_table(ML_1M / f"{name}.parquet"), history=params.history_read)
        for name in SPLITS
    }
    n_users = max(int(part.users.max()) for part in rows.values())
    n_items = max(int(part.items.max()) for part in rows.values())
    test = rows["test"]
    uids, labels = test.users.numpy(), test.labels.numpy()
    print("ML-1M, published split\n seed  valid AUC  test AUC  test UAUC  epochs  seconds")
    figures = []
    for seed in range(1, seeds + 1):
        start = time.perf_counter()
        model, fitted = fit_codes(
            rows["train"],
            rows["valid"],
            params,
            n_users=n_users,
            n_items=n_items,
            seed=derived_seed(seed, "pretrain_hash"),
        )
        seconds = time.perf_counter() - start
        scores = score(model, test)
        found = (
            fitted.valid_auc,
            auc(labels, scores) or 0,
            uauc(uids, labels, scores)[0] or 0,
            fitted.epochs,
            seconds,
        )
        figures.append(found)
        print(_line(str(seed), *found), flush=True)
    columns = list(zip(*figures, strict=True))
    print(_line("mean", *(statistics.mean(column) for column in columns)))
    if seeds > 1:
        print(_line("sd", *(statistics.stdev(column) for column in columns)))


def _line(name: str, valid: float, test: float, user: float, epochs: float, s: float) -> str:
    return f"{name:>5}{valid:11.4f}{test:10.4f}{user:11.4f}{epochs:8.0f}{s:9.1f}"


def speed(params: PretrainHash) -> None:
    """Prints the seconds of an epoch at Amazon-Book's size, ours and naively, and the memory."""
    before = _peak_mib()
    rows = generated_rows(np.random.default_rng(1))
    model = HashedModel(
        MatrixFactorisation(
            n_users=AMAZON_BOOK["users"],
            n_items=AMAZON_BOOK["items"],
            dim=params.dim,
            init_std=params.init_std,
            rng=torch.Generator().manual_seed(1),
        ),
        dim=params.dim,
        code_space=params.code_space,
        shared_hash_layer=params.shared_hash_layer,
        beta_step=params.beta_step,
        beta_every=params.beta_every,
        rng=torch.Generator().manual_seed(1),
    )
    model.beta = 0.5  # the dearest: elements to replace are drawn
    adam = torch.optim.Adam(model.parameters(), lr=params.lr, fused=True)
    rng = torch.Generator().manual_seed(1)
    size = params.batch_size
    with threads(1):  # as the stage does
        ours = [
            seconds_of(lambda: train_epoch(model, rows, adam, batch_size=size, rng=rng))
            for _ in range(3)
        ]
        peak = _peak_mib()
        naive = seconds_of(lambda: naive_epoch(model, rows, adam, batch_size=size))
    best = min(ours)
    print(
        f"Amazon-Book's size ({AMAZON_BOOK['users']:,} users, {AMAZON_BOOK['items']:,} items, "
        f"{len(rows):,} rows, generated), batches of {size}:"
    )
    print(f"  one epoch: {best:.2f} s, {len(rows) / best:,.0f} rows/s (best of {len(ours)})")
    print(f"  with a data loader collating row by row: {naive:.2f} s, {naive / best:.1f} x as long")
    print(f"  peak memory: {peak:,.0f} MiB, of which {before:,.0f} before the data is there")


def generated_rows(rng: np.random.Generator) -> Rows:
    """Returns rows of Amazon-Book's size; how often users and items occur follows a power law."""
    n = AMAZON_BOOK["rows"]
    users, items = (_skewed(AMAZON_BOOK[name], n, rng) for name in ("users", "items"))
    return Rows.of(users, items, rng.random(n) < 0.6)


def naive_epoch(
    model: HashedModel, rows: Rows, optimizer: torch.optim.Optimizer, *, batch_size: int
) -> None:
    """One epoch as most published code does it: a data loader that gathers single rows."""
    model.train()
    data = TensorDataset(rows.users, rows.items, rows.labels)
    for users, items, labels in DataLoader(data, batch_size=batch_size, shuffle=True):
        optimizer.zero_grad(set_to_none=True)
        batch = Rows(users, items, labels)
        binary_cross_entropy_with_logits(model(batch), labels).backward()
        optimizer.step()


def seconds_of(run: Callable[[], object]) -> float:
    """Returns how long one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _skewed(n_ids: int, n: int, rng: np.random.Generator) -> np.ndarray:
    weight = 1 / (np.arange(n_ids) + 10) ** 0.8
    ids = rng.permutation(np.arange(1, n_ids + 1))
    return rng.choice(ids, size=n, p=weight / weight.sum())


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
