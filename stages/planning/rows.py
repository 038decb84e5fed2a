"""The rows of the table that `params.yaml` asks for, checked."""

import json
from typing import Any

from pydantic import TypeAdapter

from stages import methods
from stages.io.errors import InputError
from stages.io.params import entries, known_entry, load_key, load_shared
from stages.llm.method import LlmMethod
from stages.llm.variants import variant_entry
from stages.measures import papers_rows
from stages.measures.planned import OURS, STEP_1, PlannedRow
from stages.prompts.settings import prompt_settings

_NAMES = TypeAdapter(list[str])
# Where entries of one kind of row stand.
_TABLES = {"codes": "codes", "variant": "variants"}
# What other stages take for granted: BinLLM itself, against which all rows are held, its step 1,
# and their prompts.
_ALWAYS = (("prompts", "text"), ("prompts", "codes"), ("variants", STEP_1), ("variants", OURS))


def planned_rows(dataset: str) -> list[PlannedRow]:
    """Returns the rows of the table in its order, BinLLM last.

    Args:
        dataset: the data set, of whose figures the paper's are.

    Raises:
        InputError: a method is unknown, one that others build on is missing, or has a seed of its
            own, or two rows have one name, or one that is a compared method's.
    """
    for table, name in _ALWAYS:
        known_entry(table, name)
    rows = [
        PlannedRow(name, method.title, "method", _figures(method.published, dataset))
        for name, method in chosen_methods().items()
    ]
    for name in entries("codes"):
        title, published = papers_rows.of_codes(name)
        rows.append(PlannedRow(name, title, "codes", _figures(published, dataset)))
    for row, method in chosen_llm_methods().items():
        _, vectors = methods.of_row(row)
        title = f"{method.title}-{methods.load(vectors).title}" if vectors else method.title
        figures = _figures(method.published.get(row), dataset)
        rows.append(PlannedRow(row, title, "llm method", figures))
    rows += _variants(dataset)
    called = [row.name for row in rows]
    twice = sorted({name for name in called if called.count(name) > 1})
    if twice:
        raise InputError(f"params.yaml: two rows of the table are called {twice[0]!r}")
    for it in rows:
        if it.kind in _TABLES and it.name in methods.names():
            raise InputError(
                f"params.yaml: {_TABLES[it.kind]}.{it.name}: a compared method is called so; "
                "expected another name"
            )
    return rows


def _variants(dataset: str) -> list[PlannedRow]:
    """Returns the variants' rows, BinLLM's last; a repetition names what it repeats."""
    rows: list[PlannedRow] = []
    names = sorted(entries("variants"), key=lambda name: name == OURS)
    found = {name: variant_entry(name) for name in names}
    for name in (OURS, STEP_1):
        if found[name].seed is not None:
            raise InputError(
                f"params.yaml: variants.{name}.seed = {found[name].seed}: its seed is the run's, "
                "the key seed; expected none here"
            )
    first: dict[tuple[str, ...], str] = {}
    for name in (OURS, STEP_1, *names):  # their repetitions are theirs, whatever else is alike
        if found[name].seed is None:
            first.setdefault(_but_for_seeds(name), name)
    for name, entry in found.items():
        title, published = papers_rows.of_variant(name)
        row = PlannedRow(
            name,
            title,
            "variant",
            _figures(published, dataset),
            entry.prompts,
            prompt_settings(entry.prompts).codes,
            entry.seed,
            None if entry.seed is None else first.get(_but_for_seeds(name)),
        )
        known = [other.seed for other in rows if row.repeats in (other.repeats, other.name)]
        if row.repeats and row.seed in (load_shared("seed"), *known):
            raise InputError(
                f"params.yaml: variants.{name}.seed: {row.repeats} has a run of seed {row.seed} "
                "already; expected another"
            )
        rows.append(row)
    return rows


def _but_for_seeds(name: str) -> tuple[str, ...]:
    """Returns what a variant has in common with its repetitions under other seeds."""
    chain: dict[str, str] = {}
    at: str | None = name
    while at is not None and at not in chain:  # a circle is DVC's to refuse
        entry = variant_entry(at)
        chain[at] = f"{entry.prompts} {json.dumps(entry.changes, sort_keys=True, default=str)}"
        at = entry.goes_on_from
    return tuple(chain.values())


def chosen_methods() -> dict[str, Any]:
    """Returns the compared methods without an LLM that run, by name.

    Raises:
        InputError: one is unknown, or has an LLM.
    """
    return {name: _method("compare.methods", name, False) for name in _listed("compare.methods")}


def chosen_llm_methods() -> dict[str, LlmMethod]:
    """Returns the compared methods with an LLM that run, by row of the table.

    Raises:
        InputError: one is unknown, has no LLM, or maps vectors that no method makes.
    """
    found = {
        name: _method("compare_llm.methods", name, True) for name in _listed("compare_llm.methods")
    }
    for name in _listed("compare_llm.on_vectors"):
        if name not in _listed("compare.methods"):
            raise InputError(
                f"params.yaml: compare_llm.on_vectors: {name!r} is not in compare.methods, which "
                "makes the vectors; add it there"
            )
        if not _method("compare.methods", name, False).has_user_vectors:
            raise InputError(
                f"params.yaml: compare_llm.on_vectors: {name!r} has no vectors of users; expected "
                "a method that has, such as mf, din or lightgcn"
            )
        found[f"collm_{name}"] = methods.load("collm")
    return found


def _method(key: str, name: str, with_llm: bool) -> Any:
    if name in methods.names() and _fits(name, with_llm):
        return methods.load(name)
    known = ", ".join(other for other in methods.names() if _fits(other, with_llm))
    kind = "with" if with_llm else "without"
    raise InputError(
        f"params.yaml: {key}: {name!r} is no compared method {kind} an LLM; expected {known}"
    )


def _fits(name: str, with_llm: bool) -> bool:
    method = methods.load(name)
    return isinstance(method, LlmMethod) == with_llm and not getattr(method, "on_vectors", False)


def _listed(key: str) -> list[str]:
    names = load_key(key, _NAMES)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"params.yaml: {key} names {twice[0]!r} twice")
    return names


def _figures(published: Any, dataset: str) -> dict[str, float] | None:
    pair = (published or {}).get(dataset)
    return dict(zip(("auc", "uauc"), pair, strict=True)) if pair else None
