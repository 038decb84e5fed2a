"""Rows for the LLM benchmarks: real prompts of ml-100k, as the pipeline left them, and of ML-1M."""

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.collab.code_files import code_table
from stages.collab.hash_fitting import fit_codes
from stages.collab.interactions import rows_of
from stages.collab.recipes import recipe
from stages.io.errors import InputError
from stages.io.seeds import derived_seed, generator
from stages.io.tables import SPLITS
from stages.prompts.content import Content, rates_by_id
from stages.prompts.rows import read_prompts, sample_groups
from stages.prompts.settings import prompt_settings
from stages.prompts.text import build_prompts, code_texts
from stages.prompts.tokenizer import load_tokenizer, token_limit

ML_1M = Path("../shared/data/ml-1m-split")
Part = Literal["train", "test"]


@dataclass(frozen=True)
class PromptRows:
    """Prompts that contenders in other processes read.

    Attributes:
        prompts: (n,) whole prompts.
        prefixes: (n,) what prompts of one user and history share, the user included.
        labels: (n,) 0 or 1.
    """

    prompts: list[str]
    prefixes: list[str]
    labels: list[int]

    def write(self, path: Path) -> None:
        """Writes the rows as JSON."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "PromptRows":
        """Reads what `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def cut(self, start: int, stop: int) -> "PromptRows":
        """Returns the rows from `start` to before `stop`."""
        part = slice(start, stop)
        return PromptRows(self.prompts[part], self.prefixes[part], self.labels[part])

    def parts(self, n: int) -> list["PromptRows"]:
        """Cuts the rows, in their order, into n parts of equal size, but for one row."""
        edges = [len(self.prompts) * i // n for i in range(n + 1)]
        return [self.cut(*ends) for ends in pairwise(edges)]


def draw_rows(
    name: Literal["ml-100k", "ml-1m"], project: Path, part: Part, rows: int, seed: int
) -> PromptRows:
    """Draws rows of a data set, cut at `rows`.

    Args:
        name: `ml-100k` stands for whatever the pipeline has prepared in `project`; `ml-1m` for the
            published split beside the project.
        project: where data/ and models/ lie.
        part: test rows of whole users, as `predict` draws them, or train rows in whole groups of
            equal prefix, as `train_lora` does.
        rows: how many.
        seed: of the draw, and of ML-1M's codes.

    Raises:
        InputError: the data is not there, or has fewer rows.
    """
    if name == "ml-1m":
        drawn = _ml_1m(ML_1M, project / "models/llm", part, rows, seed)
    else:
        path = project / f"data/prompts/codes/{part}.parquet"
        by: Literal["user", "prefix"] = "user" if part == "test" else "prefix"
        table = read_prompts(path, sample_groups(path, rows, by, generator(seed, "rows")))
        drawn = PromptRows(table.prompts, table.prefixes, table.labels.tolist())
    if len(drawn.prompts) < rows:
        raise InputError(f"{name}: {len(drawn.prompts)} {part} rows, --rows asks for {rows}")
    return drawn.cut(0, rows)


def _ml_1m(split: Path, llm_folder: Path, part: Part, rows: int, seed: int) -> PromptRows:
    """Writes prompts of whole users, with codes fitted here as `params.yaml` says."""
    if not split.is_dir():
        raise InputError(f"{split}: no such folder; ML-1M's published split is needed there")
    tables = {name: pq.read_table(split / f"{name}.parquet") for name in SPLITS}
    both = pa.concat_tables(table.select(["iid", "title"]) for table in tables.values())
    titles = dict(sorted(zip(*both.to_pydict().values(), strict=True)))
    settings = prompt_settings("codes")
    section = settings.section
    codes = (
        code_texts(columns, key, form=settings.form, untrained=section.untrained_codes)
        for key, columns in _fitted_codes(tables, seed).items()
    )
    chosen = tables[part].filter(pa.array(_whole_users(tables[part], rows, seed)))
    user_codes, item_codes = codes
    user_rates, item_rates = rates_by_id(tables["train"], titles, section)
    content = Content(
        titles,
        True,
        section.max_titles,
        user_codes,
        item_codes,
        user_rates=user_rates,
        item_rates=item_rates,
    )
    built = build_prompts(content.rows(chosen), load_tokenizer(llm_folder), token_limit(llm_folder))
    uids = chosen["uid"].to_pylist()
    return PromptRows(
        [prompt.prefix + prompt.suffix for prompt in built.prompts],
        [f"{uid} {p.prefix}" for uid, p in zip(uids, built.prompts, strict=True)],
        chosen["label"].to_pylist(),
    )


def _whole_users(table: pa.Table, rows: int, seed: int) -> NDArray[np.bool_]:
    users, user, size = np.unique(table["uid"].to_numpy(), return_inverse=True, return_counts=True)
    order = generator(seed, "rows").permutation(len(users))
    drawn = order[: int(np.searchsorted(np.cumsum(size[order]), rows)) + 1]
    return np.isin(user, drawn)


def _fitted_codes(tables: dict[str, pa.Table], seed: int) -> dict[str, dict[str, list]]:
    """Fits the codes; returns the code tables' columns by the id's name."""
    largest = {
        key: max(table[key].to_numpy().max() for table in tables.values()) for key in ("uid", "iid")
    }
    settings = recipe("binmf")
    model, _ = fit_codes(
        rows_of(tables["train"], history=settings.history_read),
        rows_of(tables["valid"], history=settings.history_read),
        settings,
        n_users=largest["uid"],
        n_items=largest["iid"],
        seed=derived_seed(seed, "pretrain_hash"),
    )
    columns = {}
    for (key, n), bits in zip(largest.items(), model.all_bits(), strict=True):
        n_train = np.bincount(tables["train"][key].to_numpy(), minlength=n + 1)[1:]
        known = pa.table({key: np.arange(1, n + 1), "n_train": n_train})
        columns[key] = code_table(bits, known, key=key, path=ML_1M).to_dict("list")
    return columns
