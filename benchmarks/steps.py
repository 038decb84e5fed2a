"""What the benchmarks of scoring and training share: variants that take turns, one table."""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from peft import PeftModel

from benchmarks import llm_reference, roofline
from benchmarks.alternating import Answer, add_options, alternate
from benchmarks.prompt_rows import PromptRows
from stages.io.errors import InputError
from stages.io.progress import Progress
from stages.llm.load import Llm
from stages.llm.packing import Group
from stages.llm.params import Precision
from stages.prompts.tokenizer import tokenize

REFERENCE = "reference, float32"
AUTOCAST = "reference, bf16 autocast"

T = TypeVar("T")
Compared = Callable[[Sequence[Answer], Sequence[Answer]], str]


@dataclass(frozen=True)
class Variant(Generic[T]):
    """One way to do a task of type T.

    Attributes:
        precision: of the weights.
        products: the type that products are computed in: whose roof it is held against.
        run: the way; returns what is compared.
        computed: (tokens, padded tokens) that it computes.
        merged: whether the adapter is part of the weights.
    """

    precision: Precision
    products: Literal["float32", "bfloat16"]
    run: Callable[[Llm, T], Any]
    computed: Callable[[Llm, T], tuple[int, int]]
    merged: bool = False


def whole_prompts(llm: Llm, rows: PromptRows, size: int, seed: int) -> tuple[int, int]:
    """Tokens and padded tokens of random batches of whole prompts."""
    lengths = np.array([len(ids) for ids in tokenize(llm.tokenizer, rows.prompts)])
    return int(lengths.sum()), llm_reference.padded_tokens(lengths, size, seed)


def packed_groups(groups: Sequence[Group]) -> tuple[int, int]:
    """Tokens of groups, and once more: packs have no padding."""
    tokens = sum(group.length for group in groups)
    return tokens, tokens


def prompt_tokens(groups: Sequence[Group]) -> int:
    """Tokens of the rows' whole prompts, shared or not."""
    return sum(len(g.prefix) * len(g.rows) + sum(map(len, g.suffixes)) for g in groups)


def part_facts(
    groups: Sequence[Group], work: float, computed: tuple[int, int], rows: PromptRows
) -> Answer:
    """What a variant says of a part beside its time: `computed` and `padded` tokens are its own."""
    return {
        "rows": len(rows.prompts),
        "work": work,
        "tokens": prompt_tokens(groups),
        "computed": computed[0],
        "padded": computed[1],
    }


def adapter_shape(llm: Llm) -> tuple[int, set[str]]:
    """Rank of the LLM's adapter, and the names of the layers that it is on."""
    assert isinstance(llm.model, PeftModel)  # the caller has just put it there
    config: Any = llm.model.peft_config["default"]
    return config.r, config.target_modules


def arguments(doc: str | None, variants: Mapping[str, Variant], rows: int) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    add_options(parser, rows)
    parser.add_argument("--data", choices=["ml-100k", "ml-1m"], default="ml-100k")
    parser.add_argument(
        "--only", nargs="+", metavar="variant", default=list(variants), help="default: all"
    )
    parser.add_argument("--serve", choices=variants, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if unknown := set(args.only) - set(variants):
        raise InputError(f"--only {min(unknown)!r}: choose from {', '.join(map(repr, variants))}")
    if not 1 <= args.repeats <= args.rows:
        raise InputError(
            f"--repeats {args.repeats}: expected 1 to --rows ({args.rows}), a part each"
        )
    return args


def measure(
    module: str,
    variants: Mapping[str, Variant],
    rows: PromptRows,
    args: argparse.Namespace,
    *,
    roof_tokens: int,
    compared: Mapping[str, Compared],
) -> None:
    """Lets the chosen variants and the roofs take turns, and prints the table.

    Args:
        module: what runs a variant when called with `--serve`.
        variants: all of them, by name.
        rows: cut into a part for each turn.
        args: of the command line.
        roof_tokens: tokens of the roof's products.
        compared: further columns: heading -> cell, from a variant's and the first one's answers.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        rows.write(path)
        options = ["--project", str(args.project), "--rows-file", str(path)]
        options += ["--repeats", str(args.repeats)]
        commands = {
            name: [sys.executable, "-m", module, "--serve", name, *options] for name in args.only
        }
        for dtype in sorted({variants[name].products for name in args.only}):
            commands[dtype] = roofline.command(
                sys.executable, args.project / "models/llm", dtype, roof_tokens
            )
        progress = Progress(module, args.rows * len(args.only))

        def count(name: str, answer: Answer) -> None:
            if name in variants:
                progress.advance(answer["rows"], f"{name}: {answer[args.clock]:.1f} s")

        answers = alternate(commands, repeats=args.repeats, threads=args.threads, after_run=count)
        progress.close()
    print(f"{module}, {args.data}, {args.rows} rows, {args.threads} threads, ", end="")
    print(f"torch {torch.__version__}, medians of {args.repeats} turns, {args.clock} time")
    _table(variants, answers, args, compared)


def _table(
    variants: Mapping[str, Variant],
    answers: dict[str, list[Answer]],
    args: argparse.Namespace,
    compared: Mapping[str, Compared],
) -> None:
    clock = args.clock
    roof = {
        name: rate(runs, "work", clock) for name, runs in answers.items() if name not in variants
    }
    print(
        "roof: " + ", ".join(f"{dtype} {value / 1e9:,.0f} GFLOP/s" for dtype, value in roof.items())
    )
    heads = ["rows/s", "to float32", "to bf16", "tokens/s", "padding", "of roof", "peak MiB"]
    print("| | " + " | ".join([*heads, *compared]) + " |")
    print("|---|" + "---:|" * (len(heads) + len(compared)))
    for name in args.only:
        runs = answers[name]
        computed, padded = (sum(run[key] for run in runs) for key in ("computed", "padded"))
        cells = [
            f"{rate(runs, 'rows', clock):.2f}",
            *(_times(runs, answers.get(against), clock) for against in (REFERENCE, AUTOCAST)),
            f"{rate(runs, 'tokens', clock):,.0f}",
            f"{1 - computed / padded:.1%}",
            f"{rate(runs, 'work', clock) / roof[variants[name].products]:.1%}",
            f"{max(run['peak_mib'] for run in runs):,.0f}",
            *(cell(runs, answers[args.only[0]]) for cell in compared.values()),
        ]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def rate(runs: Sequence[Answer], key: str, clock: str) -> float:
    """Returns the median over the turns of something done per second."""
    return statistics.median(run[key] / run[clock] for run in runs)


def _times(runs: Sequence[Answer], slower: Sequence[Answer] | None, clock: str) -> str:
    """How many times as fast as another way, on the same parts."""
    if slower is None:
        return ""
    return (
        f"{statistics.median(b[clock] / a[clock] for a, b in zip(runs, slower, strict=True)):.2f}"
    )
