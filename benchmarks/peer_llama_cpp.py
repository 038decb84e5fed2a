"""llama.cpp as a contender of `benchmarks.peers`; runs in an environment of its own.

The same GGUF: as shipped (SmolLM2-135M comes in Q4_1: 4-bit weights, which llama.cpp multiplies by
activations rounded to 8 bits), or with its weights written out once, by llama.cpp's own quantiser,
as bfloat16 or float32, for equal precision. A group's prefix goes into the KV cache once, as part
of all its rows' sequences; each row adds its own tokens, and only its last one meets the head, of
which " Yes" and " No" are read. (llama.cpp has no way to compute two rows of the head alone.)
"""

import argparse
import ctypes
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from benchmarks.alternating import serve

Group = dict[str, Any]
# By precision: type of the weights written out, type of the cache (llama.cpp's own default is f16).
FILE_TYPES = {"f32": llama_cpp.LLAMA_FTYPE_ALL_F32, "bf16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16}
CACHE_TYPES = {
    "f32": llama_cpp.GGML_TYPE_F32,
    "bf16": llama_cpp.GGML_TYPE_F16,
    "shipped": llama_cpp.GGML_TYPE_F16,
}
MOST_SEQUENCES = 64


@llama_cpp.llama_log_callback
def no_log(_level: int, _text: bytes, _data: ctypes.c_void_p) -> None:
    """Keeps llama.cpp's own words, thousands of lines, to itself."""


def written_out(gguf: Path, precision: str, folder: Path) -> Path:
    """Returns the GGUF with weights of the precision asked for; written unless it lies there."""
    if precision == "shipped":
        return gguf
    path = folder / f"{gguf.stem}.{precision}.gguf"
    if not path.exists():
        settings = llama_cpp.llama_model_quantize_default_params()
        settings.ftype = FILE_TYPES[precision]
        settings.allow_requantize = True
        partial = path.with_suffix(".partial")
        source, target = str(gguf).encode(), str(partial).encode()
        if llama_cpp.llama_model_quantize(source, target, ctypes.byref(settings)):
            raise SystemExit(f"error: {gguf}: cannot be written out as {precision}")
        partial.rename(path)
    return path


def batches(groups: list[Group], tokens: int) -> Iterator[list[Group]]:
    """Yields groups in order, as many as fit into `tokens` and `MOST_SEQUENCES`."""
    batch: list[Group] = []
    for group in groups:
        if batch and (
            sum(map(length, [*batch, group])) > tokens
            or sum(len(g["rows"]) for g in [*batch, group]) > MOST_SEQUENCES
        ):
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch


def length(group: Group) -> int:
    """Tokens of a group, its prefix counted once."""
    return len(group["prefix"]) + sum(map(len, group["suffixes"]))


class Context:
    """A loaded model with its cache."""

    def __init__(self, path: Path, precision: str, tokens: int, threads: int) -> None:
        """Loads; `tokens` is the most that is computed at once."""
        llama_cpp.llama_backend_init()
        model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params()
        )
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = tokens
        settings.n_seq_max = MOST_SEQUENCES
        settings.n_threads = settings.n_threads_batch = threads
        settings.type_k = settings.type_v = CACHE_TYPES[precision]
        settings.kv_unified = True  # a token may be part of several sequences
        self._context = llama_cpp.llama_init_from_model(model, settings)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(tokens, 0, MOST_SEQUENCES)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))

    def logits(self, groups: list[Group], answer_ids: list[int]) -> list[list[float]]:
        """Returns the answers' logits of each row, group by group."""
        llama_cpp.llama_memory_clear(self._memory, False)
        self._batch.n_tokens = 0
        last, first = [], 0
        for group in groups:
            prefix = len(group["prefix"])
            self._add(group["prefix"], 0, range(first, first + len(group["rows"])))
            for sequence, suffix in enumerate(group["suffixes"], start=first):
                self._add(suffix, prefix, [sequence])
                last.append(self._batch.n_tokens - 1)
                self._batch.logits[last[-1]] = 1
            first += len(group["rows"])
        if status := llama_cpp.llama_decode(self._context, self._batch):
            raise SystemExit(f"error: llama_decode: {status}")
        return [self._read(place)[answer_ids].tolist() for place in last]

    def _add(self, token_ids: list[int], position: int, sequences: Any) -> None:
        batch = self._batch
        for offset, token in enumerate(token_ids):
            place = batch.n_tokens
            batch.token[place], batch.pos[place] = token, position + offset
            batch.n_seq_id[place], batch.logits[place] = len(sequences), 0
            for number, sequence in enumerate(sequences):
                batch.seq_id[place][number] = sequence
            batch.n_tokens += 1

    def _read(self, place: int) -> np.ndarray:
        logits = llama_cpp.llama_get_logits_ith(self._context, place)
        return np.ctypeslib.as_array(logits, shape=(self._vocabulary,))


def main() -> None:
    """Loads, writes weights out where needed, and scores when told to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", type=Path, required=True, help="what benchmarks.peers wrote")
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="where to write weights out")
    parser.add_argument("--precision", choices=list(CACHE_TYPES), required=True)
    parser.add_argument("--batch-tokens", type=int, default=512, help="computed at once")
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    llama_cpp.llama_log_set(no_log, ctypes.c_void_p(0))
    task = json.loads(args.task.read_text())
    groups = [group for pack in task["packs"] for group in pack]
    tokens = max(args.batch_tokens, *map(length, groups))
    context = Context(
        written_out(args.gguf, args.precision, args.cache), args.precision, tokens, args.threads
    )

    def scores(some: list[Group]) -> list[float]:
        result = [0.0] * task["rows"]
        for batch in batches(some, tokens):
            rows = [row for group in batch for row in group["rows"]]
            for row, (yes, no) in zip(rows, context.logits(batch, task["answer_ids"]), strict=True):
                result[row] = yes - no if task["kind"] == "yes_minus_no" else yes
        return result

    scores(groups[-4:])
    version = f"llama-cpp-python {llama_cpp.__version__}"
    serve(lambda _: {"result": scores(groups), "version": version})


if __name__ == "__main__":
    main()
