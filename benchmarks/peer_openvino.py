"""OpenVINO as a contender of `benchmarks.peers`; runs in an environment of its own.

The same LLM, converted from torch once, compiled for the CPU with the precision asked for. It gets
all that ours gets: groups of rows that share their prefix as one sequence behind a mask, packed by
length, and only the two answers' rows of the head at the scored positions. Prefixes are shared in
the sequence and not through a stateful cache, so that a prompt's tokens go through each matrix
product together.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from benchmarks.alternating import serve

Inputs = dict[str, np.ndarray]


class AnswerLogits(torch.nn.Module):
    """The LLM down to the logits of the two answers."""

    def __init__(self, llm: Path, answer_ids: list[int]) -> None:
        """Loads it in float32."""
        super().__init__()
        model: Any = AutoModelForCausalLM.from_pretrained(llm, dtype=torch.float32)
        self.decoder = model.get_decoder().eval()
        self.register_buffer("head", model.get_output_embeddings().weight[answer_ids].detach())

    def forward(
        self, input_ids: Tensor, position_ids: Tensor, segment: Tensor, last: Tensor
    ) -> Tensor:
        """Logits at the scored positions.

        Args:
            input_ids: (sequences, length) token ids.
            position_ids: (sequences, length) each token's place in its own row.
            segment: (sequences, length) 0 for the prefix, 1.. for the candidates, -1 for padding.
            last: (rows,) places of the rows' last tokens in the flattened tokens.

        Returns:
            (rows, 2) logits.
        """
        order = torch.arange(input_ids.shape[1])
        seen = (segment[:, :, None] == segment[:, None, :]) | (segment[:, None, :] == 0)
        mask = (seen & (order[:, None] >= order[None, :]))[:, None]
        hidden = self.decoder(
            input_ids=input_ids, attention_mask=mask, position_ids=position_ids, use_cache=False
        ).last_hidden_state
        return hidden.flatten(0, 1)[last] @ self.head.T


def lay_out(pack: list[dict[str, Any]]) -> tuple[Inputs, list[int]]:
    """Lays a pack of groups out as arrays; returns them and the rows they score."""
    length = max(len(g["prefix"]) + sum(map(len, g["suffixes"])) for g in pack)
    arrays = {
        name: np.full((len(pack), length), fill, dtype=np.int64)
        for name, fill in (("input_ids", 0), ("position_ids", 0), ("segment", -1))
    }
    last, rows = [], []
    for index, group in enumerate(pack):
        start, prefix = 0, len(group["prefix"])
        for number, part in enumerate([group["prefix"], *group["suffixes"]]):
            place = (index, slice(start, start + len(part)))
            arrays["input_ids"][place] = part
            arrays["segment"][place] = number
            arrays["position_ids"][place] = np.arange(len(part)) + (prefix if number else 0)
            start += len(part)
            if number:
                last.append(index * length + start - 1)
        rows += group["rows"]
    return arrays | {"last": np.array(last, dtype=np.int64)}, rows


def convert(llm: Path, answer_ids: list[int], folder: Path) -> Path:
    """Converts the LLM unless it lies in `folder` already; returns the model's file."""
    path = folder / "openvino" / "answer_logits.xml"
    if not path.exists():
        group = {"prefix": [1, 2, 3], "suffixes": [[4, 5], [6]], "rows": [0, 1]}
        inputs, _ = lay_out([group, group])
        example = {name: torch.from_numpy(array) for name, array in inputs.items()}
        with torch.inference_mode():
            model = ov.convert_model(AnswerLogits(llm, answer_ids), example_input=example)
        partial = folder / "openvino.partial"
        ov.save_model(model, partial / path.name, compress_to_fp16=False)
        partial.rename(path.parent)
    return path


def main() -> None:
    """Loads, converts where needed, and scores when told to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", type=Path, required=True, help="what benchmarks.peers wrote")
    parser.add_argument("--llm", type=Path, required=True, help="the LLM's folder")
    parser.add_argument("--cache", type=Path, required=True, help="where to keep the conversion")
    parser.add_argument("--precision", choices=["f32", "bf16"], required=True)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    task = json.loads(args.task.read_text())
    settings = {
        "INFERENCE_PRECISION_HINT": args.precision,
        "INFERENCE_NUM_THREADS": args.threads,
        "PERFORMANCE_HINT": "LATENCY",  # one batch at a time, all threads on it
    }
    path = convert(args.llm, task["answer_ids"], args.cache)
    compiled = ov.Core().compile_model(path, "CPU", settings)
    request = compiled.create_infer_request()

    def scores(packs: list[list[dict[str, Any]]]) -> list[float]:
        result = [0.0] * task["rows"]
        for pack in packs:
            inputs, rows = lay_out(pack)
            for row, (yes, no) in zip(rows, request.infer(inputs)[0].tolist(), strict=True):
                result[row] = yes - no if task["kind"] == "yes_minus_no" else yes
        return result

    scores(task["packs"][-1:])
    serve(lambda _: {"result": scores(task["packs"]), "version": f"openvino {ov.__version__}"})


if __name__ == "__main__":
    main()
