"""Reads the predictions to be compared, lines them up row by row and measures them alike."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.io.errors import InputError
from stages.io.tables import INTERACTIONS, PREDICTIONS, read_table
from stages.measures.params import Evaluate
from stages.measures.quality import Measured, measure_scores

_FACTS = ["row", "uid", "iid", "label", "seen", "warm"]


@dataclass(frozen=True)
class ScoredRows:
    """Test rows that every method has scored, by ascending row.

    Attributes:
        uids: (n,) users.
        labels: (n,) 0 or 1.
        seen: (n,) whether user and item each have a train row.
        warm: (n,) whether user and item each have more than three.
        scores: method -> (n,) finite scores.
        n_scored: method -> rows it has scored in all, of which these are the ones that count.
        n_test_rows: rows of the whole test set.
        n_test_users: users of the whole test set.
    """

    uids: NDArray
    labels: NDArray
    seen: NDArray
    warm: NDArray
    scores: dict[str, NDArray]
    n_scored: dict[str, int]
    n_test_rows: int
    n_test_users: int

    @property
    def slices(self) -> dict[str, NDArray]:
        """The rows that are seen, warm, cold: (n,) bool each."""
        return {"seen": self.seen, "warm": self.warm, "cold": ~self.seen}

    def protocol(self, params: Evaluate) -> dict[str, Any]:
        """Returns which rows were measured, and how."""
        return {
            "rows": len(self.uids),
            "test_rows": self.n_test_rows,
            "users": len(np.unique(self.uids)),
            "test_users": self.n_test_users,
            **params.model_dump(),
        }

    def measured(self, draws: NDArray, params: Evaluate) -> dict[str, Measured]:
        """Measures every method on the same draws of users; see `measure_scores`."""
        return {
            method: measure_scores(
                self.uids,
                self.labels,
                scores,
                slices=self.slices,
                draws=draws,
                params=params,
            )
            for method, scores in self.scores.items()
        }


def read_scored_rows(
    files: Mapping[str, Path], test_rows: Path, *, reference: str, alike: Collection[str] = ()
) -> ScoredRows:
    """Reads methods' predictions on the rows that one of them has scored.

    The LLM scores a sample of users, drawn by seed, where others score all test rows. Cut to the
    same rows, a difference between two methods never comes from the sample.

    Args:
        files: method -> its predictions, rows in any order.
        test_rows: the test set's table.
        reference: the method whose rows count.
        alike: methods that must have scored these rows and no others.

    Returns:
        The rows with every method's scores, in the order of `files`.

    Raises:
        InputError: a table is missing, holds a row twice, or a score that is not finite; a method
            lacks a row; a row differs from the test set's; or a user's rows are scored in part
            only, which UAUC cannot use.
    """
    test = read_table(test_rows, INTERACTIONS, columns=_FACTS).sort_by("row")
    tables = {method: read_predictions(path) for method, path in files.items()}
    first = files[reference]
    rows = tables[reference]["row"].to_numpy()
    if not len(rows):
        raise InputError(f"{first}: holds no rows")
    place = _places(rows, test["row"].to_numpy(), first, test_rows)
    _check_whole_users(test["uid"].to_numpy(), place, first)
    scored = test.take(pa.array(place))
    scores = {}
    for method, table in tables.items():
        cut = table.take(pa.array(_places(rows, table["row"].to_numpy(), first, files[method])))
        if method in alike and len(table) > len(rows):
            raise InputError(
                f"{files[method]}: {len(table) - len(rows)} rows that {first} lacks; expected the "
                "same rows in both"
            )
        _check_facts(cut, scored, files[method], test_rows)
        scores[method] = cut["score"].to_numpy()
    return ScoredRows(
        uids=scored["uid"].to_numpy(),
        labels=scored["label"].to_numpy(),
        seen=scored["seen"].to_numpy(),
        warm=scored["warm"].to_numpy(),
        scores=scores,
        n_scored={method: len(table) for method, table in tables.items()},
        n_test_rows=len(test),
        n_test_users=pc.count_distinct(test["uid"]).as_py(),
    )


def read_predictions(path: Path) -> pa.Table:
    """Reads a row's predictions, by ascending row, each row once, all scores finite.

    Raises:
        InputError: the table is missing, or they are otherwise.
    """
    table = read_table(path, PREDICTIONS).sort_by("row")
    rows, scores = table["row"].to_numpy(), table["score"].to_numpy()
    twice = rows[1:][rows[1:] == rows[:-1]]
    if len(twice):
        raise InputError(f"{path}: row {twice[0]} stands there twice; expected each row once")
    bad = ~np.isfinite(scores)
    if bad.any():
        raise InputError(
            f"{path}: row {rows[bad][0]} has score {scores[bad][0]} (and {bad.sum() - 1} more "
            "such); expected finite numbers"
        )
    return table


def _places(rows: NDArray, known: NDArray, path: Path, known_path: Path) -> NDArray:
    """Where each of `rows` stands in `known`; both ascending, neither with repetitions."""
    missing = np.setdiff1d(rows, known)
    if len(missing):
        raise InputError(
            f"{known_path}: lacks {len(missing)} of the rows in {path}, row {missing[0]} first; "
            "run `dvc repro`"
        )
    return np.searchsorted(known, rows)


def _check_whole_users(uids: NDArray, place: NDArray, path: Path) -> None:
    users, n_rows = np.unique(uids, return_counts=True)
    scored, n_scored = np.unique(uids[place], return_counts=True)
    expected = n_rows[np.searchsorted(users, scored)]
    partly = np.flatnonzero(n_scored != expected)
    if len(partly):
        user = partly[0]
        raise InputError(
            f"{path}: {n_scored[user]} of user {scored[user]}'s {expected[user]} test rows are "
            "scored; UAUC needs all rows of a user or none"
        )


def _check_facts(table: pa.Table, expected: pa.Table, path: Path, expected_path: Path) -> None:
    for name in ("uid", "iid", "label"):
        found, right = table[name].to_numpy(), expected[name].to_numpy()
        differ = np.flatnonzero(found != right)
        if len(differ):
            row = table["row"].to_numpy()[differ[0]]
            raise InputError(
                f"{path}: row {row} has {name} {found[differ[0]]}, but {right[differ[0]]} in "
                f"{expected_path}; run `dvc repro`"
            )
