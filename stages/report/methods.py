"""The rows of the table: which methods there are, and what the other stages know of each."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.common.chosen import METHODS, is_chosen
from stages.common.errors import InputError

OURS = "binllm"
TITLES = {
    "mf": "MF",
    "lightgcn": "LightGCN",
    "sasrec": "SASRec",
    "din": "DIN",
    "binmf": "BinMF",
    "ctrl": "CTRL (DIN)",
    "icl": "ICL",
    "prompt4nr": "Prompt4NR",
    "tallrec": "TALLRec",
    "personprompt": "PersonPrompt",
    "collm_mf": "CoLLM-MF",
    "collm_din": "CoLLM-DIN",
    "binllm_id_only": "BinLLM, ID-only",
    "binllm_intuitive": "BinLLM, intuitive tuning",
    "binllm_compressed": "BinLLM, compressed",
    OURS: "BinLLM",
}
# Steps of BinLLM itself: made by its own stages, whatever is compared.
_STEPS = {
    "binmf": ("binmf", "pretrain_hash"),
    "tallrec": ("text", "train_lora/text"),
    OURS: ("codes", "train_lora/codes"),
}
ALWAYS = ("tallrec", OURS)
# Where another stage than the one that scores did the fit.
_FITS = {"tallrec": "train_text", OURS: "train_codes"}


@dataclass(frozen=True)
class Facts:
    """What is known of a method beside its scores; None where its stage does not say.

    Attributes:
        parameters: trained parameters.
        fit_seconds: seconds of the fit.
        seconds_per_1000: seconds to score 1,000 rows.
        seeds: what `stages.common.repeats.over_seeds` found.
    """

    parameters: int | None = None
    fit_seconds: float | None = None
    seconds_per_1000: float | None = None
    seeds: dict[str, Any] | None = None


def reported(chosen: Path) -> list[str]:
    """Returns the methods that are rows of the table, in its order.

    Raises:
        InputError: `choose_methods` has not run.
    """
    wanted = [*(method for method in METHODS if is_chosen(method, chosen)), *ALWAYS]
    return [method for method in TITLES if method in wanted]


def file_of(method: str) -> str:
    """Returns the name of the method's files of predictions and cost, without suffix."""
    return _STEPS[method][0] if method in _STEPS else method


def read_facts(method: str, metrics: Path) -> Facts:
    """Reads what the method's stages wrote about it.

    Raises:
        InputError: a file is missing or no JSON.
    """
    known = _read(metrics / f"{_STEPS.get(method, ('', f'compare/{method}'))[1]}.json")
    cost = _read(metrics / f"cost/{file_of(method)}.json")
    fit = _read(metrics / f"cost/{_FITS[method]}.json") if method in _FITS else cost
    rows, seconds = cost.get("rows"), cost.get("seconds")
    return Facts(
        parameters=known.get("parameters"),
        fit_seconds=fit.get("fit_seconds"),
        seconds_per_1000=1000 * seconds / rows if rows and seconds is not None else None,
        seeds=known.get("seeds"),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `dvc repro`") from None
    except ValueError as error:
        raise InputError(f"{path}: no JSON: {error}") from None
