"""What the machine can do, and what the work needs: `python -m benchmarks.roofline`.

The roof is measured, not looked up: `torch.nn.functional.linear` with frozen weights of the LLM's
own shapes, one after the other through all layers as the model meets them (so that weights come
from memory, not from cache), on as many tokens as a batch has:

    roof [FLOP/s] = 2 * sum(in * out) * tokens / seconds

What the work needs, whoever does it. T: tokens, each prefix once per group of rows that share it;
a group of prefix length P and suffix lengths s has T = P + sum(s) tokens and
V = P (P + 1) / 2 + sum(s P + s (s + 1) / 2) pairs of a token and one it sees.

    linear    = 2 * sum(in * out) * T         over all linear layers below the head
    attention = 4 * layers * heads * head_dim * V         (Q K^T and P V)
    LoRA      = 2 * rank * sum(in + out) * T  over the adapted layers; 0 where it is merged
    head      = 2 * 2 * width * rows          the two answers' rows of the head

    scoring   = linear + attention + LoRA + head
    training  = 2 * linear + 3 * attention + 3 * LoRA + 2 * head

Training computes each product forward and, backward, its gradient by the activations; attention
has two operands that need one (3 = 1 + 2), LoRA also the gradient by its weights; frozen weights
have none. Norms, activations, softmax, rotation and the optimizer count as nothing. Two things a
perfect program could leave out are counted: the last layer for tokens that are not scored, and
the gradient below the first layer's adapter.

Share of the roof = needed operations / seconds / roof. It falls with padding, with prefixes that
are computed again, with logits that nobody reads, and with time spent on anything but products.
"""

import argparse
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.alternating import serve
from stages.io.errors import InputError, run_stage
from stages.llm.packing import Group


@dataclass(frozen=True)
class Sizes:
    """An LLM's sizes, as far as its operations depend on them.

    Attributes:
        linear: (in, out, name) of each linear layer below the head, in order.
        attention: layers * heads * head_dim.
        width: length of a hidden state.
    """

    linear: list[tuple[int, int, str]]
    attention: int
    width: int

    @classmethod
    def of(cls, folder: Path) -> "Sizes":
        """Reads them from an LLM's configuration.

        Raises:
            InputError: the folder is missing or holds no LLM.
        """
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; run `dvc repro`")
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: no LLM: {' '.join(str(error).split())}") from None
        with torch.device("meta"):
            decoder = AutoModelForCausalLM.from_config(config).get_decoder()
        layers = [
            (layer.in_features, layer.out_features, name.split(".")[-1])
            for name, layer in decoder.named_modules()
            if isinstance(layer, nn.Linear)
        ]
        head_dim = getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
        attention = config.num_hidden_layers * config.num_attention_heads * head_dim
        return cls(layers, attention, config.hidden_size)

    def linear_work(self, tokens: int) -> int:
        """Operations of the frozen linear layers, forward."""
        return 2 * sum(n_in * n_out for n_in, n_out, _ in self.linear) * tokens

    def lora_work(self, tokens: int, rank: int, targets: Collection[str]) -> int:
        """Operations of the adapters, forward; `targets` are names of layers."""
        adapted = sum(n_in + n_out for n_in, n_out, name in self.linear if name in targets)
        return 2 * rank * adapted * tokens


def scoring_work(
    sizes: Sizes, groups: Sequence[Group], rank: int, targets: Collection[str]
) -> float:
    """Operations needed to score groups; rank 0 where the adapter is merged."""
    linear, attention, lora, head = _parts(sizes, groups, rank, targets)
    return linear + attention + lora + head


def training_work(
    sizes: Sizes, groups: Sequence[Group], rank: int, targets: Collection[str]
) -> float:
    """Operations needed to train LoRA on groups, once."""
    linear, attention, lora, head = _parts(sizes, groups, rank, targets)
    return 2 * linear + 3 * attention + 3 * lora + 2 * head


def visible_pairs(group: Group) -> int:
    """Pairs of a token and one it sees, itself included."""
    prefix = len(group.prefix)
    own = (len(suffix) for suffix in group.suffixes)
    return prefix * (prefix + 1) // 2 + sum(n * prefix + n * (n + 1) // 2 for n in own)


def _parts(
    sizes: Sizes, groups: Sequence[Group], rank: int, targets: Collection[str]
) -> tuple[int, int, int, int]:
    tokens = sum(group.length for group in groups)
    return (
        sizes.linear_work(tokens),
        4 * sizes.attention * sum(map(visible_pairs, groups)),
        sizes.lora_work(tokens, rank, targets),
        4 * sizes.width * sum(len(group.rows) for group in groups),
    )


class Roof:
    """The machine's rate of matrix products at an LLM's shapes."""

    def __init__(self, sizes: Sizes, dtype: torch.dtype, tokens: int) -> None:
        """Makes weights and inputs, and computes once to warm up."""
        rng = torch.Generator().manual_seed(1)
        self._work = sizes.linear_work(tokens)
        self._weights = [
            (torch.randn(n_out, n_in, generator=rng) / n_in**0.5).to(dtype)
            for n_in, n_out, _ in sizes.linear
        ]
        self._inputs = {
            n_in: torch.randn(tokens, n_in, generator=rng).to(dtype)
            for n_in in {n_in for n_in, _, _ in sizes.linear}
        }
        self.run()

    def run(self) -> int:
        """Computes one pass through all layers; returns its operations."""
        with torch.inference_mode():
            for weight in self._weights:
                F.linear(self._inputs[weight.shape[1]], weight)
        return self._work


def command(python: str, llm_folder: Path, dtype: str, tokens: int) -> list[str]:
    """Returns the command line of the roof as a contender."""
    options = ["--llm", str(llm_folder), "--dtype", dtype, "--tokens", str(tokens), "--serve"]
    return [python, "-m", "benchmarks.roofline", *options]


def main() -> None:
    """Prints the roof for each type and several numbers of tokens."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--llm", type=Path, default=Path("models/llm"), help="the LLM's folder")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 1024, 2048, 4096])
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = Sizes.of(args.llm)
    if args.serve:
        roof = Roof(sizes, getattr(torch, args.dtype[0]), args.tokens[0])
        serve(lambda _: {"work": roof.run()})
        return
    torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {args.threads} threads, {len(sizes.linear)} linear layers")
    print("| dtype | tokens | GFLOP/s |\n|---|---:|---:|")
    for dtype in args.dtype:
        for tokens in args.tokens:
            roof = Roof(sizes, getattr(torch, dtype), tokens)
            start = time.perf_counter()
            work = sum(roof.run() for _ in range(3))
            rate = work / (time.perf_counter() - start) / 1e9
            print(f"| {dtype} | {tokens:,} | {rate:,.0f} |", flush=True)


if __name__ == "__main__":
    run_stage(main)
