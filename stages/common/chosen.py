"""Which compared methods a run produces: `compare.methods` in `params.yaml`.

The stage `choose_methods` writes one small file per known method. A method's own stage depends on
its file and not on the list, so that a changed list re-runs the methods whose standing changed and
no others. Methods that are part of BinLLM's own way (binmf, tallrec) always run.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Literal, get_args

from stages.common.errors import InputError
from stages.common.tables import PREDICTIONS, replacing, write_json, write_table

Method = Literal[
    "mf",
    "lightgcn",
    "sasrec",
    "din",
    "binmf",
    "ctrl",
    "icl",
    "prompt4nr",
    "tallrec",
    "personprompt",
    "collm_mf",
    "collm_din",
    "binllm_id_only",
    "binllm_intuitive",
    "binllm_compressed",
]
METHODS: tuple[Method, ...] = get_args(Method)
# What a method is built on runs with it.
BUILT_ON: dict[Method, Method] = {"collm_mf": "mf", "collm_din": "din"}
CHOSEN = Path("data/chosen")

_RUN, _SKIP = "run\n", "skip\n"


def write_chosen(methods: Collection[Method], folder: Path = CHOSEN) -> None:
    """Writes a file per known method that says whether it runs; the folder whole or not at all.

    Args:
        methods: the methods asked for; those that they are built on run as well.
        folder: where the files go.
    """
    running = {*methods, *(BUILT_ON[method] for method in methods if method in BUILT_ON)}
    with replacing(folder) as partial:
        partial.mkdir()
        for method in METHODS:
            (partial / method).write_text(_RUN if method in running else _SKIP, encoding="utf-8")


def is_chosen(method: str, folder: Path = CHOSEN) -> bool:
    """Returns whether a method runs: it, or one that is built on it, is in `compare.methods`.

    Raises:
        InputError: `choose_methods` has not run, or knows no such method.
    """
    path = folder / method
    try:
        return path.read_text(encoding="utf-8") == _RUN
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `dvc repro`") from None


def skipped(method: str, *others: Path) -> bool:
    """Writes what a method leaves that is not chosen: no predictions, no metrics, no cost.

    To be asked before anything heavy is imported: `if skipped(method): return`.

    Args:
        method: the method.
        others: further outputs of its stage, left as empty files.

    Returns:
        Whether the method is skipped; if not, nothing is written.

    Raises:
        InputError: see `is_chosen`.
    """
    if is_chosen(method):
        return False
    write_table(PREDICTIONS.empty_table(), Path(f"data/predictions/{method}.parquet"), PREDICTIONS)
    for kind in ("compare", "cost"):
        write_json({}, Path(f"metrics/{kind}/{method}.json"))
    for path in others:
        with replacing(path) as partial:
            partial.touch()
    print(f"{method} is not in compare.methods: nothing to do")
    return True
