"""The stage `export_codes`."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from stages.export_codes import main
from stages.io.tables import ITEM_CODES, ITEMS, USER_CODES, USERS, read_table, write_table
from stages.prompts.codes import from_dotted, pack
from tests.refusals import assert_one_line

CODES = Path("models/hash/binmf/codes.safetensors")
N_TRAIN = {"users": [3, 0, 5, 1, 2], "items": [1, 2, 0]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    users = pd.DataFrame({"uid": range(1, 6), "source_id": list("abcde")})
    items = pd.DataFrame({"iid": range(1, 4), "source_id": list("xyz"), "title": "A title"})
    for name, table, schema in (("users", users, USERS), ("items", items, ITEMS)):
        path = Path(f"data/interactions/{name}.parquet")
        write_table(table.assign(n_train=N_TRAIN[name]), path, schema)
    return tmp_path


def write_codes(width: int = 32, n_users: int = 5, n_items: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    sizes = {"users": n_users, "items": n_items}
    codes = {name: rng.random((n + 1, width)) < 0.5 for name, n in sizes.items()}
    CODES.parent.mkdir(parents=True)
    save_file(codes, CODES)
    return codes


@pytest.mark.parametrize("width", [8, 32, 64])
def test_every_form_gives_the_learned_bits_back(project: Path, width: int) -> None:
    codes = write_codes(width)
    main("binmf")
    for name, schema in (("users", USER_CODES), ("items", ITEM_CODES)):
        table = read_table(Path(f"data/codes/binmf/{name}.parquet"), schema).to_pandas()
        assert len(table) == len(N_TRAIN[name])
        for id_, line in zip(table.iloc[:, 0], table.itertuples(), strict=True):
            assert [bit == "1" for bit in line.bits] == codes[name][id_].tolist()
            assert pack(line.bits) == line.packed == from_dotted(line.dotted)


def test_codes_without_a_train_row_are_marked_untrained(project: Path) -> None:
    write_codes()
    main("binmf")
    for name in ("users", "items"):
        trained = pd.read_parquet(f"data/codes/binmf/{name}.parquet").trained
        assert trained.tolist() == [n > 0 for n in N_TRAIN[name]]


def test_the_same_codes_give_the_same_bytes(project: Path) -> None:
    write_codes()
    paths = [project / f"data/codes/binmf/{name}.parquet" for name in ("users", "items")]
    main("binmf")
    first = [path.read_bytes() for path in paths]
    main("binmf")
    assert [path.read_bytes() for path in paths] == first


def test_each_set_of_codes_has_a_folder_of_its_own(project: Path) -> None:
    write_codes()
    CODES.parent.rename("models/hash/wide")
    main("wide")
    assert [path.name for path in Path("data/codes").iterdir()] == ["wide"]


@pytest.mark.parametrize(
    ("width", "n_items", "message"),
    [
        (12, 3, "12 bits wide, expected a positive multiple of 8"),
        (32, 4, "codes for iid 1..4, but the interactions have 3"),
    ],
)
def test_codes_that_do_not_fit_end_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], width: int, n_items: int, message: str
) -> None:
    write_codes(width, n_items=n_items)
    assert_refused(capsys, message)


def test_missing_or_broken_codes_end_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(capsys, "codes.safetensors: no such file")
    CODES.parent.mkdir(parents=True)
    CODES.write_bytes(b"not what it says")
    assert_refused(capsys, "codes.safetensors: no safetensors file")
    save_file({"users": np.zeros((6, 32))}, CODES)
    assert_refused(capsys, "expected bool matrices users and items")


def assert_refused(capsys: pytest.CaptureFixture[str], message: str) -> None:
    assert_one_line(capsys, partial(main, "binmf"), message)
    assert not Path("data/codes/binmf").exists()
