"""The methods: what each reads as its prompt, and the LLM with the part that is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages.collab.vector_file import read_vectors
from stages.common.errors import InputError
from stages.common.seeds import generator
from stages.common.tables import ITEMS, PROMPTS, USERS, read_table
from stages.compare_llm.templates import (
    SOFT_PLACES,
    count_of_ids,
    with_examples,
    with_ids,
    with_soft_prompt,
)
from stages.llm.model import Llm, Precision, add_adapter, load_adapter, load_llm
from stages.llm.prompts import Template, read_prompts
from stages.llm.soft_tokens import (
    MappedVectors,
    SoftTable,
    add_soft_tokens,
    embedding_scale,
    embedding_width,
)
from stages.llm.tokenizer import ANSWERS


@dataclass(frozen=True)
class Inputs:
    """Where a method reads from.

    Attributes:
        llm: the LLM.
        prompts: text prompts.
        interactions: users and items.
        adapter: step 1's adapter; None for methods without.
        vectors: a collaborative model's vectors; None for methods without.
    """

    llm: Path
    prompts: Path
    interactions: Path
    adapter: Path | None
    vectors: Path | None

    @classmethod
    def of(cls, method: str) -> "Inputs":
        """Returns the inputs of a method in the working folder."""
        general = Path("models/llm"), Path("data/prompts/text"), Path("data/interactions")
        _, collm, model = method.rpartition("collm_")
        if not collm:
            return cls(*general, None, None)
        vectors = Path(f"models/compare/{model}.safetensors")
        return cls(*general, Path("models/adapters/text"), vectors)

    def files(self) -> list[Path]:
        """Returns all of them that there are."""
        return [path for path in vars(self).values() if path is not None]

    def count(self) -> tuple[int, int]:
        """Returns the numbers of users and of items; ids begin at 1."""
        users = read_table(self.interactions / "users.parquet", USERS, ["uid"])
        return len(users), len(read_table(self.interactions / "items.parquet", ITEMS, ["iid"]))


Built = tuple[Llm, Template]


def build(
    method: str,
    inputs: Inputs,
    *,
    precision: Precision,
    lora: dict[str, Any] | None,
    seed: int,
    **shape: Any,
) -> Built:
    """Returns the LLM with what the method puts on it, and the template of its prompts.

    Args:
        method: a key of `METHODS`.
        inputs: where to read from.
        precision: type of the LLM's weights.
        lora: settings of a new adapter, trained along with the soft tokens; None for none.
        seed: of initial weights and of drawn examples.
        shape: the method's own settings.

    Raises:
        InputError: an input is missing or does not fit.
    """
    llm = load_llm(inputs.llm, precision=precision)
    if inputs.adapter is not None:
        llm = load_adapter(llm, inputs.adapter)
    if lora is not None:
        llm = add_adapter(llm, **lora, seed=seed)
    return METHODS[method](llm, inputs, seed, **shape)


def _icl(llm: Llm, inputs: Inputs, seed: int, *, examples: int) -> Built:
    rng = generator(seed, "examples")
    return llm, with_examples(draw_examples(inputs.prompts / "train.parquet", examples, rng))


def draw_examples(path: Path, n: int, rng: np.random.Generator) -> list[str]:
    """Draws answered prompts, half of them liked (the odd one, too), in random order.

    Raises:
        InputError: there are not so many rows of a label.
    """
    labels = read_table(path, PROMPTS, ["label"])["label"].to_numpy()
    chosen = np.zeros(len(labels), dtype=bool)
    for label, count in ((1, n - n // 2), (0, n // 2)):
        rows = np.flatnonzero(labels == label)
        if len(rows) < count:
            raise InputError(f"{path}: {len(rows)} rows with label {label}, {count} are asked for")
        chosen[rng.choice(rows, count, replace=False)] = True
    if not n:
        return []
    drawn = read_prompts(path, chosen)
    yes, no = ANSWERS
    answered = [
        prompt + (yes if label else no)
        for prompt, label in zip(drawn.prompts, drawn.labels, strict=True)
    ]
    return [answered[place] for place in rng.permutation(n)]


def _prompt4nr(llm: Llm, inputs: Inputs, seed: int, *, tokens: int) -> Built:
    add_soft_tokens(llm, _table(llm, SOFT_PLACES * tokens, seed))
    return llm, with_soft_prompt(tokens)


def _personprompt(llm: Llm, inputs: Inputs, seed: int) -> Built:
    n_users, n_items = inputs.count()
    add_soft_tokens(llm, _table(llm, count_of_ids(n_users, n_items), seed))
    return llm, with_ids(n_users)


def _collm(llm: Llm, inputs: Inputs, seed: int, *, hidden_times: int) -> Built:
    assert inputs.vectors is not None
    n_users, n_items = inputs.count()
    tables = read_vectors(inputs.vectors, n_users=n_users, n_items=n_items)
    vectors = torch.cat([_of_unit_scale(table, inputs.vectors) for table in tables])
    mapped = MappedVectors(
        vectors,
        hidden=hidden_times * vectors.shape[1],
        width=embedding_width(llm),
        scale=embedding_scale(llm),
        rng=torch.Generator().manual_seed(seed),
    )
    add_soft_tokens(llm, mapped)
    return llm, with_ids(n_users)


def _of_unit_scale(vectors: Tensor, path: Path) -> Tensor:
    """Returns (n + 1, dim) vectors over the root mean square of their elements."""
    scale = vectors[1:].square().mean().sqrt()
    if not scale > 0:
        raise InputError(f"{path}: all vectors of one side are zero; fit again")
    return vectors / scale


def _table(llm: Llm, count: int, seed: int) -> SoftTable:
    rng = torch.Generator().manual_seed(seed)
    return SoftTable(count, width=embedding_width(llm), scale=embedding_scale(llm), rng=rng)


METHODS: dict[str, Callable[..., Built]] = {
    "icl": _icl,
    "prompt4nr": _prompt4nr,
    "personprompt": _personprompt,
    "collm_mf": _collm,
    "collm_din": _collm,
}
