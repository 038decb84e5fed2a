"""The stage `export_codes`."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from stages import pretrain_hash
from stages.export_codes import main
from stages.io.damage import DIGESTS
from stages.io.errors import InputError
from stages.io.tables import (
    INTERACTIONS,
    ITEM_CODES,
    ITEMS,
    ROW_CODES,
    SPLITS,
    TEACHER,
    USER_CODES,
    USERS,
    read_table,
    write_json,
    write_table,
)
from stages.prompts.codes import from_dotted, pack, pack_rows
from stages.prompts.newcomers import LIKED, Newcomers
from tests.changed_params import write_params
from tests.planted import write_planted
from tests.refusals import assert_one_line

CODES = Path("models/hash/binmf/codes.safetensors")
ROWS = CODES.with_name("rows.safetensors")
N_ROWS, N_TAUGHT = 7, 4
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
    of_rows = {
        "row": np.arange(N_ROWS),
        "codes": rng.random((N_ROWS, width)) < 0.5,
        "taught": np.arange(N_TAUGHT),
        "probability": rng.random(N_TAUGHT).astype(np.float32),
    }
    save_file(of_rows, ROWS)
    return codes | of_rows


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


@pytest.mark.parametrize("width", [8, 32])
def test_rows_and_teacher_are_those_that_were_learned(project: Path, width: int) -> None:
    codes = write_codes(width)
    main("binmf")
    rows = read_table(Path("data/codes/binmf/rows.parquet"), ROW_CODES).to_pydict()
    assert rows == {"row": list(range(N_ROWS)), "packed": pack_rows(codes["codes"])}
    teacher = read_table(Path("data/codes/binmf/teacher.parquet"), TEACHER).to_pydict()
    assert teacher == {
        "row": list(range(N_TAUGHT)),
        "probability": codes["probability"].tolist(),
    }


def test_what_codes_follow_is_exported_whole_and_a_damaged_table_is_refused(project: Path) -> None:
    write_codes()
    main("binmf")
    folder = Path("data/codes/binmf")
    assert Newcomers.read(folder, "digits") is None
    vectors = np.random.default_rng(2).normal(size=(4, 32)).astype(np.float32)
    save_file({"liked": vectors}, ROWS.with_name("liked.safetensors"))
    write_json({"history": 3}, ROWS.with_name("codes.json"))
    main("binmf")
    found = Newcomers.read(folder, "digits")
    assert found is not None and np.array_equal(found.vectors, vectors)
    bits = vectors[[2, 3, 2]].sum(0) / 3**0.5 + vectors[0] > 0
    assert found.code([1, 2, 3, 2]) == "".join(str(int(bit)) for bit in bits)
    path = folder / "liked.parquet"
    write_table(read_table(path, LIKED).slice(1), path, LIKED)
    with pytest.raises(InputError, match=r"liked.parquet: expected vectors of one length for iid"):
        Newcomers.read(folder, "digits")
    write_json({"history": "all"}, folder / "liked.json")
    with pytest.raises(InputError, match=r"liked.json: history = 'all', expected 1 or more"):
        Newcomers.read(folder, "digits")
    save_file({"other": vectors}, ROWS.with_name("liked.safetensors"))
    with pytest.raises(InputError, match=r"holds \['other'\], expected a matrix liked"):
        main("binmf")


SETS: dict[str, dict[str, Any]] = {
    "taste": {"taste": {"epochs": 2, "distillation": {"steps": 5}}},
    "binmf": {"recipe": "paper", "epochs": 2},
    "states": {"recipe": "paper", "vectors": "sasrec", "epochs": 1},
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sets of codes of either recipe, learned from random rows in no order, and exported."""
    folder = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        rng = np.random.default_rng(1)
        users, items = rng.integers(1, 13, 400), rng.integers(1, 10, 400)
        split = rng.permutation(np.repeat(SPLITS, [300, 50, 50]))
        interactions = folder / "data/interactions"
        liked = rng.random(400) < 0.5
        write_planted(interactions, users, items, liked, split, n_users=12, n_items=9)
        write_params({"codes": SETS})
        for name in SETS:
            pretrain_hash.main(name)
            main(name)
    return folder


@pytest.mark.parametrize("codes", SETS)
def test_each_row_has_a_code_and_each_train_and_validation_row_a_teacher_once(
    exported: Path, codes: str
) -> None:
    rows = {
        split: read_table(exported / f"data/interactions/{split}.parquet", INTERACTIONS, ["row"])
        for split in SPLITS
    }
    taught = {row for split in ("train", "valid") for row in rows[split]["row"].to_pylist()}
    folder = exported / "data/codes" / codes
    assert read_table(folder / "rows.parquet", ROW_CODES)["row"].to_pylist() == list(range(400))
    teacher = read_table(folder / "teacher.parquet", TEACHER)
    assert teacher["row"].to_pylist() == sorted(taught) and len(taught) == 350
    assert all(0 < likely < 1 for likely in teacher["probability"].to_pylist())


@pytest.mark.parametrize("codes", SETS)
def test_rows_have_the_code_in_the_users_table_until_the_user_likes_something(
    exported: Path, codes: str
) -> None:
    """The paper's users have one code for all their rows; those of taste at their last history."""
    folder = exported / "data/codes" / codes
    users = pd.read_parquet(folder / "users.parquet").set_index("uid")["packed"]
    of_rows = pd.read_parquet(folder / "rows.parquet").set_index("row")["packed"]
    splits = [pd.read_parquet(exported / f"data/interactions/{split}.parquet") for split in SPLITS]
    rows = pd.concat(splits).sort_values("row")
    if codes == "taste":
        rows = rows.groupby("uid").tail(1).query("label == 0")
        assert 0 < len(rows) < 12
    assert of_rows[rows["row"]].tolist() == users[rows["uid"]].tolist()


def test_codes_without_a_train_row_are_marked_untrained(project: Path) -> None:
    write_codes()
    main("binmf")
    for name in ("users", "items"):
        trained = pd.read_parquet(f"data/codes/binmf/{name}.parquet").trained
        assert trained.tolist() == [n > 0 for n in N_TRAIN[name]]


def test_the_same_codes_give_the_same_bytes(project: Path) -> None:
    write_codes()
    names = ("users", "items", "rows", "teacher")
    paths = [project / f"data/codes/binmf/{name}.parquet" for name in names]
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
    assert_refused(capsys, "codes.safetensors: damaged: no safetensors file")
    save_file({"users": np.zeros((6, 32))}, CODES)
    assert_refused(capsys, "expected bool matrices users and items")


def test_missing_or_broken_codes_of_rows_end_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_codes()
    (ROWS.parent / DIGESTS).unlink(missing_ok=True)
    ROWS.unlink()
    assert_refused(capsys, "rows.safetensors: no such file; run `dvc repro`")
    ROWS.write_bytes(b"not what it says")
    assert_refused(capsys, "rows.safetensors: damaged: no safetensors file")
    save_file({"row": np.arange(3), "codes": np.zeros((3, 32), dtype=bool)}, ROWS)
    assert_refused(
        capsys,
        "rows.safetensors: holds ['codes', 'row'], "
        "expected ['codes', 'probability', 'row', 'taught']",
    )


def assert_refused(capsys: pytest.CaptureFixture[str], message: str) -> None:
    assert_one_line(capsys, partial(main, "binmf"), message)
    assert not Path("data/codes/binmf").exists()
