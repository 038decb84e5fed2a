"""What git keeps of a run, read from the working folder, a revision or an experiment."""

import io
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from stages.io.errors import InputError
from stages.io.paths import HEADLINE, METRICS, PLOTS, TABLE

Reader = Callable[[Path], str]


@dataclass(frozen=True)
class Record:
    """A run's record.

    Attributes:
        name: what the page calls it.
        table: `metrics/evaluate.json`; undefined values are absent.
        headline: `metrics/main.json`.
        data: `metrics/data.json`.
        health: set of codes -> what its `health` says, see `stages.measures.code_quality`.
        params: key -> value, dots between its parts.
        roc: columns method, fpr, tpr.
        slices: columns method, slice, auc, low, high.
        training: variant's title -> rows, loss, auc.
        bits: title of a set of codes -> side, bit, balance.
        cost: codes, tokens_per_prompt, seconds.
    """

    name: str
    table: dict[str, Any]
    headline: dict[str, Any]
    data: dict[str, Any]
    health: dict[str, dict[str, Any]]
    params: dict[str, Any]
    roc: pd.DataFrame
    slices: pd.DataFrame
    training: dict[str, pd.DataFrame]
    bits: dict[str, pd.DataFrame]
    cost: pd.DataFrame = field(default_factory=pd.DataFrame)


def read_record(name: str, read: Reader) -> Record:
    """Reads a run's record.

    Args:
        name: what the page calls it.
        read: returns a file's text.

    Raises:
        InputError: a file is missing, or no JSON.
    """

    def table_of(file: str) -> pd.DataFrame:
        return pd.read_csv(io.StringIO(read(PLOTS / f"{file}.csv")))

    table = read_recorded_table(read)
    rows = table["methods"]
    kinds = {
        kind: {key: it["title"] for key, it in rows.items() if it["kind"] == kind}
        for kind in ("variant", "codes")
    }
    quality = {
        title: _read_json(read, METRICS / "pretrain_hash" / f"{key}.json")
        for key, title in kinds["codes"].items()
    }
    return Record(
        name=name,
        table=table,
        headline=_read_json(read, HEADLINE),
        data=_read_json(read, METRICS / "data.json"),
        health={title: it["health"] for title, it in quality.items()},
        params=flat_params(read(Path("params.yaml"))),
        roc=table_of("roc"),
        slices=table_of("slices"),
        training={title: table_of(f"training_{key}") for key, title in kinds["variant"].items()},
        bits={title: table_of(f"bits_{key}") for key, title in kinds["codes"].items()},
        cost=table_of("cost"),
    )


def read_recorded_table(read: Reader) -> dict[str, Any]:
    """Returns `metrics/evaluate.json`; undefined values are absent.

    Raises:
        InputError: it is missing, no JSON, or from before it held the whole table.
    """
    table = _read_json(read, TABLE)
    if "methods" not in table:
        raise InputError(f"{TABLE}: of an earlier version, without `methods`; run `dvc repro`")
    return table


def _read_json(read: Reader, path: Path) -> dict[str, Any]:
    text = read(path)
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: no JSON object, as a run writes it: {error}") from None


def from_folder(path: Path) -> str:
    """Returns the text of a file of the working folder.

    Raises:
        InputError: there is none.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `dvc repro`") from None


def from_revision(name: str) -> Reader:
    """Returns what reads files of a revision: a commit, branch, tag, or experiment by name.

    Raises:
        InputError: there is no such revision, or it lacks a file.
    """
    commit = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if commit is None:
        refs = (_git("for-each-ref", "--format=%(refname)", "refs/exps") or "").split()
        found = [ref for ref in refs if ref.rpartition("/")[2] == name]
        commit = _git("rev-parse", found[0]) if found else None
    if commit is None:
        raise InputError(f"{name!r}: no commit, branch, tag or experiment (see `dvc exp list -A`)")

    def read(path: Path) -> str:
        text = _git("show", f"{commit.strip()}:./{path.as_posix()}")
        if text is None:
            raise InputError(f"{path} is not in {name!r}: a run before this page, or none")
        return text

    return read


def commit_of_folder() -> str | None:
    """Returns the commit that is checked out, and whether files differ; None without git."""
    commit = _git("rev-parse", "--short=10", "HEAD")
    if commit is None:
        return None
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return commit.strip() + (" and uncommitted changes" if changed else "")


def default_params() -> dict[str, Any] | None:
    """Returns the params of the commit that is checked out; None without git."""
    text = _git("show", "HEAD:./params.yaml")
    return None if text is None else flat_params(text)


def flat_params(text: str) -> dict[str, Any]:
    """Returns the keys of a params file with dots between their parts."""

    def leaves(part: Any, name: str) -> dict[str, Any]:
        if not isinstance(part, dict) or not part:
            return {name: part}
        return {
            key: value
            for inner, its in part.items()
            for key, value in leaves(its, f"{name}.{inner}" if name else str(inner)).items()
        }

    return leaves(YAML(typ="safe", pure=True).load(text), "")


def _git(*words: str) -> str | None:
    """Returns what git prints, or None where it fails or is not there."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
