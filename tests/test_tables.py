"""Tables: checked against their schema, the same bytes twice, whole or not there."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.io.errors import InputError
from stages.io.outputs import replacing
from stages.io.tables import (
    INTERACTIONS,
    ITEM_CODES,
    PREDICTIONS,
    read_table,
    write_json,
    write_table,
)

ROOT = Path(__file__).resolve().parent.parent


def rows(n: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "score": np.linspace(-1, 1, n),
            "label": np.arange(n) % 2,
            "row": np.arange(n),
            "uid": np.arange(n) + 1,
            "iid": np.arange(n) + 1,
        }
    )


def refuse(data: pd.DataFrame | pa.Table, folder: Path, expected: str) -> None:
    path = folder / "table.parquet"
    with pytest.raises(InputError, match=expected) as caught:
        write_table(data, path, PREDICTIONS)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert list(folder.iterdir()) == []


def test_a_table_has_its_schemas_columns_types_and_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "table.parquet"
    write_table(rows(), path, PREDICTIONS)
    assert pq.read_schema(path).equals(PREDICTIONS, check_metadata=True)
    assert read_table(path, PREDICTIONS)["score"].to_pylist() == [-1.0, 0.0, 1.0]
    assert read_table(path, PREDICTIONS, columns=["row"]).column_names == ["row"]


def test_lists_strings_and_bytes_come_back(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    codes = {"iid": [7], "bits": ["0101"], "packed": [b"\x05\x00"], "dotted": ["5"]}
    write_table(pd.DataFrame({**codes, "trained": [True]}), path, ITEM_CODES)
    assert read_table(path, ITEM_CODES).to_pylist() == [
        {"iid": 7, "bits": "0101", "packed": b"\x05\x00", "dotted": "5", "trained": True}
    ]
    row = {"row": 1, "uid": 1, "iid": 1, "label": 1, "timestamp": 9, "history": [3, 2]}
    row |= {"seen": True, "warm": False}
    write_table(pd.DataFrame([row, {**row, "history": []}]), path, INTERACTIONS)
    assert read_table(path, INTERACTIONS)["history"].to_pylist() == [[3, 2], []]


def test_equal_content_gives_equal_bytes_from_pandas_and_from_arrow(tmp_path: Path) -> None:
    data = rows(1000)
    arrow = pa.Table.from_pandas(data[PREDICTIONS.names], schema=PREDICTIONS)
    odd_index = data.set_index(np.arange(1000)[::-1])
    for name, given in (("a", data), ("b", data.copy()), ("c", arrow), ("d", odd_index)):
        write_table(given, tmp_path / name, PREDICTIONS)
    assert len({(tmp_path / name).read_bytes() for name in "abcd"}) == 1


def test_missing_and_superfluous_columns_are_refused(tmp_path: Path) -> None:
    refuse(rows().drop(columns="uid"), tmp_path, r"columns \['iid', .*expected .*'uid'")
    refuse(rows().assign(user=1), tmp_path, r"columns .*'user'\], expected")
    refuse(pa.Table.from_pandas(rows().drop(columns="uid")), tmp_path, "columns .*expected")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("label", [0, 1, 300]),
        ("uid", [1, 2, 2**40]),
        ("uid", [1.5, 2.0, 3.0]),
        ("uid", ["a", "b", "c"]),
        ("iid", [[1], [2], [3]]),
    ],
)
def test_values_that_do_not_fit_are_refused(tmp_path: Path, column: str, values: list) -> None:
    refuse(rows().assign(**{column: values}), tmp_path, f"column {column} with type")


def test_nulls_are_refused(tmp_path: Path) -> None:
    refuse(rows().assign(score=[0.1, None, None]), tmp_path, "column 'score' holds 2 nulls")
    arrow = pa.Table.from_pandas(rows().assign(uid=pd.array([1, None, 3], dtype="Int32")))
    refuse(arrow, tmp_path, "column 'uid' holds 1 nulls")


def test_reading_another_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    with pytest.raises(InputError, match=r"table\.parquet: no such file; run `dvc repro`"):
        read_table(path, PREDICTIONS)
    path.write_text("no parquet, but long enough")
    with pytest.raises(InputError, match="no Parquet file: ") as caught:
        read_table(path, PREDICTIONS)
    assert "\n" not in str(caught.value)
    write_table(rows(), path, PREDICTIONS)
    with pytest.raises(InputError, match=r"columns .*'score': 'float'.*, expected .*'bits'"):
        read_table(path, ITEM_CODES)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="no Parquet file: "):
        read_table(path, PREDICTIONS)


# JSON.


def test_an_undefined_metric_is_absent_and_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json({"auc": None, "cold": {"auc": None, "rows": 0}, "uauc": 0.5}, path)
    assert path.read_text().endswith("}\n")
    assert json.loads(path.read_text()) == {"cold": {"rows": 0}, "uauc": 0.5}
    before = path.read_bytes()
    with pytest.raises(ValueError, match="Out of range float"):
        write_json({"auc": float("nan")}, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]


# Whole or not at all.


def test_a_failure_leaves_the_earlier_output_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("earlier")
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for name in ("old", "new"):
        with replacing(path) as partial:
            partial.mkdir()
            (partial / name).write_text(name)
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for half in (lambda partial: partial.mkdir(), lambda partial: partial.write_text("half")):
        half(tmp_path / ".model.4194999-01234567.partial")  # above the largest process id
        with replacing(path) as partial:
            assert not partial.exists()
            partial.mkdir()
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("earlier", [True, False])
def test_a_process_killed_while_it_writes_leaves_no_half_output(
    tmp_path: Path, earlier: bool
) -> None:
    path = tmp_path / "table.parquet"
    if earlier:
        write_table(rows(), path, PREDICTIONS)
    before = path.read_bytes() if earlier else None
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        import pyarrow.parquet as pq
        from stages.io.outputs import replacing
        from stages.io.tables import PREDICTIONS

        with replacing(Path(sys.argv[1])) as partial:
            with pq.ParquetWriter(partial, PREDICTIONS) as writer:
                writer.write_table(PREDICTIONS.empty_table())
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -9
    assert len(list(tmp_path.glob(".table.parquet.*.partial"))) == 1
    assert (path.read_bytes() if earlier else path.exists()) == (before or False)
    write_table(rows(5), path, PREDICTIONS)
    assert len(read_table(path, PREDICTIONS)) == 5
    assert list(tmp_path.iterdir()) == [path]
