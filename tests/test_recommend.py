"""The command `recommend`: the pipeline's own prompts and scores, for any users and items."""

import importlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from stages.io.errors import InputError, run_stage
from stages.io.progress import Progress
from stages.io.tables import ITEM_CODES, ITEMS, SPLITS, USERS, write_table
from stages.llm import partial_scores as partial
from stages.llm.adapters import add_adapter, load_adapter, trainable_parameters
from stages.llm.load import Llm, load_llm
from stages.llm.score import score_prompts
from stages.llm.steps import write_adapter
from stages.llm.tune import Tuned
from stages.prompts.content import read_content
from stages.prompts.settings import prompt_settings
from stages.prompts.text import Prompt
from stages.prompts.tokenizer import token_limit
from stages.recommend.__main__ import main
from stages.recommend.candidates import Ids, histories_now, new_pairs, read_interactions, read_pairs
from stages.recommend.outputs import RANKED, listing, ranked
from stages.recommend.scores import prompts_of, user_blocks
from tests.changed_params import write_params

KEEP, TITLES = 3, 5  # histories shorter than what prompts may show: both bounds are seen
USER_NAMES = [f"ann-{i}" for i in range(8)]
ITEM_NAMES = [f"B00{i}" for i in range(40)]
Command = Callable[..., None]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_llm_folder: Path) -> Path:
    """A project as `dvc repro` leaves it, by the real stages but for training; a list answered."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("models").mkdir()
        Path("models/llm").symlink_to(tiny_llm_folder)
        write_params(PARAMS)
        write_raw()
        stage("preprocess")
        write_random_codes(Path("models/hash/taste"))
        stage("export_codes", "taste")
        for kind in ("text", "codes"):
            stage("materialize_prompts", kind)
            write_random_adapter(tiny_llm_folder, Path("models/adapters") / kind)
        write_list()
        for kind in ("text", "codes"):
            ask(patch, kind, "--pairs", "wanted.csv", "--out", f"{kind}.parquet")
    return folder


CODED = ("users", "items")


PARAMS = {
    "dataset": "table",
    "preprocess.keep_history": KEEP,
    "preprocess.valid_share": 0.2,
    "preprocess.test_share": 0.2,
    "materialize_prompts.max_titles": TITLES,
    "predict.precision": "float32",
    "predict.token_budget": 600,
}


def write_raw() -> None:
    """Random ratings; the first half of the users ends on a dislike, the others on a like."""
    rng = np.random.default_rng(1)
    rows = [
        (user, item, rng.integers(1, 6), time)
        for user in USER_NAMES
        for time, item in enumerate(rng.choice(ITEM_NAMES, rng.integers(8, 20), replace=False))
    ]
    table = pd.DataFrame(rows, columns=["user", "item", "rating", "timestamp"])
    last = table.groupby("user").tail(1).index
    table.loc[last, "rating"] = np.where(np.arange(len(last)) < len(last) // 2, 1, 5)
    titles = [f'The "{i}"th film, uncut ({1950 + i})' for i in range(len(ITEM_NAMES))]
    Path("data/raw").mkdir(parents=True)
    table.to_csv("data/raw/interactions.csv", index=False)
    pd.DataFrame({"item": ITEM_NAMES, "title": titles}).to_csv("data/raw/items.csv", index=False)


def write_random_adapter(llm_folder: Path, folder: Path) -> None:
    llm = add_adapter(
        load_llm(llm_folder, precision="float32"),
        rank=4,
        alpha=8,
        dropout=0.0,
        targets="all-linear",
        last_layers=None,
        seed=3,
    )
    torch.manual_seed(5)
    weights = {n: torch.randn_like(p) * 0.1 for n, p in trainable_parameters(llm.model).items()}
    write_adapter(llm, Tuned(weights, [], {"rows": 8.0}, 0.0), "yes_minus_no", folder)


def write_random_codes(folder: Path) -> None:
    """Codes that a user's rows have not in common, but those at what they have liked to this day.

    All rows are as likely liked as not: the adapters here learn nothing.
    """
    rng = np.random.default_rng(3)
    sizes = {name: len(pd.read_parquet(f"data/interactions/{name}.parquet")) for name in CODED}
    codes = {name: rng.random((n + 1, 16)) < 0.5 for name, n in sizes.items()}
    splits = [pd.read_parquet(f"data/interactions/{split}.parquet") for split in SPLITS]
    taught = np.sort(pd.concat(splits[:2])["row"].to_numpy())
    rows = pd.concat(splits).sort_values("row")
    of_rows = rng.random((len(rows), 16)) < 0.5
    likes_left = rows[::-1].groupby("uid")["label"].cumsum()[::-1].to_numpy()
    of_rows[likes_left == 0] = codes["users"][rows["uid"]][likes_left == 0]
    folder.mkdir(parents=True)
    save_file(codes, folder / "codes.safetensors")
    found = {"row": rows["row"].to_numpy(), "codes": of_rows, "taught": taught}
    probability = np.full(len(taught), 0.5, dtype=np.float32)
    save_file({**found, "probability": probability}, folder / "rows.safetensors")


def stage(name: str, *words: str) -> None:
    importlib.import_module(f"stages.{name}").main(*words)


def ask(patch: pytest.MonkeyPatch, *arguments: object) -> None:
    patch.setattr(sys, "argv", ["recommend", *map(str, arguments)])
    main()


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained project, its tables free to be changed, its models shared."""
    folder = tmp_path / "project"
    shutil.copytree(trained, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def recommend(project: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    return lambda *arguments: ask(monkeypatch, *arguments)


def write_list() -> None:
    """A list for three users, items they know included."""
    rng = np.random.default_rng(2)
    items = pd.read_parquet("data/interactions/items.parquet")["source_id"]
    pairs = [(u, i) for u in USER_NAMES[2:5] for i in rng.choice(items, 9, replace=False)]
    pd.DataFrame(pairs, columns=["user", "item"]).to_csv("wanted.csv", index=False)


def everybody() -> tuple[Ids, Ids]:
    folder = Path("data/interactions")
    return Ids.of(folder / "users.parquet", USERS), Ids.of(folder / "items.parquet", ITEMS)


def prompts(kind: str, pairs: np.ndarray, llm: Llm) -> list[Prompt]:
    """Prompts as the command builds them."""
    folder = Path("data/interactions")
    content = read_content(prompt_settings(kind), folder)
    histories = histories_now(read_interactions(folder), pairs[:, 0], KEEP)
    return prompts_of(pairs, histories, content, llm.tokenizer, token_limit(Path("models/llm")))


@pytest.fixture(scope="module")
def llm(tiny_llm_folder: Path) -> Llm:
    return load_llm(tiny_llm_folder, precision="float32")


# What is asked of the LLM.


@pytest.mark.parametrize("kind", ["text", "codes"])
@pytest.mark.usefixtures("project")
def test_a_test_row_with_todays_history_has_the_prompt_that_the_pipeline_wrote(
    kind: str, llm: Llm
) -> None:
    test = pd.read_parquet("data/interactions/test.parquet").groupby("uid").tail(1)
    same = test[test["label"] == 0]  # a dislike at the very end: nothing was liked since
    assert len(same) == len(USER_NAMES) // 2
    written = pd.read_parquet(f"data/prompts/{kind}/test.parquet").set_index("row")
    for row in same.itertuples():
        (prompt,) = prompts(kind, np.array([[row.uid, row.iid]]), llm)
        assert prompt.prefix == written.loc[row.row, "prefix"]
        assert prompt.suffix == written.loc[row.row, "suffix"]


@pytest.mark.usefixtures("project")
def test_a_pair_shows_the_users_code_as_of_now_whatever_code_their_rows_had(llm: Llm) -> None:
    users, items = everybody()
    pairs = np.array([[uid, iid] for uid in users.number for iid in items.number[:3]])
    bits = pd.read_parquet("data/codes/taste/users.parquet").set_index("uid")["bits"]
    for (uid, _), prompt in zip(pairs, prompts("codes", pairs, llm), strict=True):
        assert f"User code: {bits[uid]}" in prompt.prefix.splitlines()


@pytest.mark.usefixtures("project")
def test_the_last_like_ends_the_history_and_may_itself_be_asked_about(llm: Llm) -> None:
    test = pd.read_parquet("data/interactions/test.parquet").groupby("uid").tail(1)
    titles = pd.read_parquet("data/interactions/items.parquet").set_index("iid")["title"]
    for row in test[test["label"] == 1].itertuples():
        (prompt,) = prompts("text", np.array([[row.uid, row.iid]]), llm)
        title = titles[row.iid].replace('"', "'")
        assert prompt.prefix.endswith(f'"{title}"')
        assert f'Item: "{title}"' in prompt.suffix


@pytest.mark.parametrize("keep", [1, KEEP])
@pytest.mark.usefixtures("project")
def test_todays_history_is_what_the_next_row_would_hold(keep: int) -> None:
    rows = pd.concat([pd.read_parquet(f"data/interactions/{split}.parquet") for split in SPLITS])
    last = rows.groupby("uid").tail(1)
    before = rows[~rows["row"].isin(last["row"])]
    found = histories_now(before, last["uid"].to_numpy(), keep)
    assert found == {row.uid: list(row.history[-keep:]) for row in last.itertuples()}


def test_a_user_who_liked_nothing_has_an_empty_history() -> None:
    interactions = pd.DataFrame({"uid": [1, 2], "iid": [3, 3], "label": [0, 1]})
    assert histories_now(interactions, np.array([1, 1, 2]), None) == {1: [], 2: [3]}


@pytest.mark.usefixtures("project")
def test_all_items_of_a_user_share_one_prefix(llm: Llm) -> None:
    _, items = everybody()
    pairs = new_pairs(read_interactions(Path("data/interactions")), 2, items)
    built = prompts("codes", pairs, llm)
    assert len(built) > 15
    assert len({prompt.prefix for prompt in built}) == 1
    assert len({prompt.suffix for prompt in built}) == len(built)


# Scores and ranks.


@pytest.mark.parametrize("kind", ["text", "codes"])
@pytest.mark.usefixtures("project")
def test_each_score_is_what_the_prompt_alone_would_get(kind: str, tiny_llm_folder: Path) -> None:
    found = pd.read_parquet(f"{kind}.parquet").set_index(["user", "item"])["score"]
    tuned = load_adapter(
        load_llm(tiny_llm_folder, precision="float32"), Path("models/adapters") / kind
    )
    users, items = everybody()
    pairs = read_pairs(Path("wanted.csv"), users, items)
    for (uid, iid), prompt in zip(pairs, prompts(kind, pairs, tuned), strict=True):
        key = users.sources([uid])[0], items.sources([iid])[0]
        (alone,) = score_prompts(tuned, [prompt.prefix + prompt.suffix], score="yes_minus_no")
        assert found[key] == pytest.approx(alone, abs=1e-4)
    assert found.nunique() > len(found) // 2


@pytest.mark.usefixtures("project")
def test_a_list_is_answered_pair_by_pair_best_first() -> None:
    wanted, found = pd.read_csv("wanted.csv"), pd.read_parquet("codes.parquet")
    assert found.columns.tolist() == RANKED.names
    assert set(found[["user", "item"]].itertuples(index=False, name=None)) == set(
        wanted.itertuples(index=False, name=None)
    )
    titles = pd.read_parquet("data/interactions/items.parquet").set_index("source_id")["title"]
    assert found["title"].tolist() == titles[found["item"]].tolist()
    for _, best in found.groupby("user"):
        assert best["rank"].tolist() == list(range(1, len(best) + 1))
        assert best["score"].is_monotonic_decreasing


def test_order_repetition_and_format_of_a_list_change_no_byte(recommend: Command) -> None:
    table = pd.read_csv("wanted.csv")
    mixed = pd.concat([table, table[:5]]).sample(frac=1, random_state=1).assign(note="x")
    mixed.to_csv("mixed.tsv", sep="\t", index=False)
    mixed.to_parquet("mixed.parquet")
    users, items = everybody()
    pairs = read_pairs(Path("wanted.csv"), users, items)
    assert (read_pairs(Path("mixed.tsv"), users, items) == pairs).all()
    recommend("codes", "--pairs", "mixed.parquet", "--out", "again.parquet")
    assert Path("again.parquet").read_bytes() == Path("codes.parquet").read_bytes()


def test_a_user_is_shown_the_best_of_all_items_that_are_new_to_them(
    recommend: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    recommend("codes", "--user", "ann-3", "--top", 4, "--out", "scores.parquet")
    printed = capsys.readouterr()
    best = pd.read_parquet("scores.parquet")
    met = pd.read_csv("data/raw/interactions.csv").query("user == 'ann-3'")["item"]
    items = pd.read_parquet("data/interactions/items.parquet")["source_id"]
    assert set(best["item"]) == set(items) - set(met)
    assert set(best["user"]) == {"ann-3"}
    head, columns, *lines = printed.out.splitlines()
    assert head == f"user ann-3, codes: {len(best)} items new to them"
    assert columns.split() == ["rank", "score", "item", "title"]
    assert [line.split()[:3] for line in lines] == [
        [str(row.rank), f"{row.score:.4f}", row.item] for row in best.head(4).itertuples()
    ]
    assert "rank: " in printed.err  # the progress


@pytest.mark.usefixtures("project")
def test_equal_scores_stand_in_order_of_the_items() -> None:
    users, items = everybody()
    pairs = np.array([[1, 5], [1, 2], [1, 9], [2, 4], [2, 3]])
    scores = np.array([0.5, 0.5, 0.7, -1, -1], dtype=np.float32)
    titles = {iid: f"Film\n{iid}" for iid in range(1, 10)}
    expected = None
    for order in ([0, 1, 2, 3, 4], [4, 2, 1, 3, 0]):
        best = ranked(pairs[order], scores[order], users, items, titles)
        assert best["item"].tolist() == items.sources([9, 2, 5, 3, 4])
        assert best["rank"].tolist() == [1, 2, 3, 1, 2]
        assert expected is None or best.equals(expected)
        expected = best
    assert len(listing(best).splitlines()) == 1 + 5  # a title stays on its line


@pytest.mark.parametrize("least", [1, 3, 4, 100])
def test_blocks_cover_all_rows_once_and_never_cut_a_user(least: int) -> None:
    uids = np.array([1, 1, 1, 4, 7, 7, 7, 7, 9])
    blocks = list(user_blocks(uids, least))
    assert [row for block in blocks for row in range(9)[block]] == list(range(9))
    assert all(len(uids[block]) >= least for block in blocks[:-1])
    assert sum(len(set(uids[block])) for block in blocks) == 4


# What goes wrong.


def test_a_cut_run_leaves_the_old_file_and_goes_on_where_it_was(
    recommend: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("scores.parquet").write_bytes(b"of an earlier day")
    monkeypatch.setattr(partial, "SAVE_SECONDS", 0.0)
    advance, advanced = Progress.advance, []

    def cut_at_the_second_batch(self: Progress, n: int, note: str = "") -> None:
        advanced.append(n)
        if len(advanced) == 2:
            raise KeyboardInterrupt
        advance(self, n, note)

    monkeypatch.setattr(Progress, "advance", cut_at_the_second_batch)
    with pytest.raises(KeyboardInterrupt):
        recommend("codes", "--pairs", "wanted.csv", "--out", "scores.parquet")
    assert Path("scores.parquet").read_bytes() == b"of an earlier day"
    assert not list(Path().glob(".scores*"))
    recommend("codes", "--pairs", "wanted.csv", "--out", "scores.parquet")
    found, whole = pd.read_parquet("scores.parquet"), pd.read_parquet("codes.parquet")
    assert 0 < sum(advanced[2:]) < len(whole)
    both = found.merge(whole, on=["user", "item"], validate="1:1")
    assert len(both) == len(whole)
    np.testing.assert_allclose(both["score_x"], both["score_y"], atol=1e-4)
    assert not list(Path(".scratch").glob("recommend-*"))


def refused(recommend: Command, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Returns the one line that the command ends in; it must have written nothing."""
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    with pytest.raises(SystemExit) as caught:
        run_stage(lambda: recommend(*arguments))
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before
    return printed.err.removeprefix("error: ").rstrip()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "user,item\nann-1,B001\nbob,B001\n",
            "wanted.csv: row 2 of the data: 'bob', "
            "expected a source_id of data/interactions/users.parquet",
        ),
        (
            "user,item\nann-1,B999\n",
            "wanted.csv: row 1 of the data: 'B999', "
            "expected a source_id of data/interactions/items.parquet",
        ),
        ("user,film\nann-1,B001\n", "wanted.csv: no column"),
        ("user,item\n", "wanted.csv: no rows, expected at least one pair of user and item"),
        ("user,item\nann-1,\n", "wanted.csv: row 1 of the data has no 'item'"),
        ("", "wanted.csv: empty; expected a first line that names the columns"),
    ],
)
def test_a_bad_list_ends_in_one_line(
    recommend: Command, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    Path("wanted.csv").write_text(content)
    found = refused(recommend, capsys, "text", "--pairs", "wanted.csv", "--out", "scores.parquet")
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--user", "bob"], "--user 'bob': expected a source_id of data/interactions/users.parqu"),
        (["--user", "ann-1", "--top", "0"], "--top 0: expected 1 or more"),
        (["--user", "ann-1", "--out", "data"], "--out data: expected the name of a file that"),
        (["--user", "ann-1", "--out", "no/a.parquet"], "--out no/a.parquet: no is no folder"),
        (["--pairs", "none.csv", "--out", "scores.parquet"], "none.csv: no such file"),
        (["--pairs", "none.csv"], "--pairs: --out is missing"),
    ],
)
def test_a_bad_question_ends_in_one_line(
    recommend: Command, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert refused(recommend, capsys, "codes", *arguments).startswith(message)


@pytest.mark.parametrize(
    "missing",
    [
        "params.yaml",
        "data/interactions/users.parquet",
        "data/interactions/valid.parquet",
        "data/codes/taste/items.parquet",
        "data/codes/taste/rows.parquet",
        "models/adapters/codes/tuning.json",
        "models/adapters/codes/adapter_model.safetensors",
    ],
)
def test_a_missing_part_of_the_pipeline_is_named(
    recommend: Command, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    Path(missing).unlink()
    assert refused(recommend, capsys, "codes", "--user", "ann-1").startswith(f"{missing}: no ")


def test_an_unknown_variant_is_told_which_there_are(
    recommend: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    found = refused(recommend, capsys, "words", "--user", "ann-1")
    assert found == "params.yaml: variants has no 'words'; expected text, codes"


def test_a_missing_llm_is_named(recommend: Command, capsys: pytest.CaptureFixture[str]) -> None:
    Path("models/llm").unlink()
    message = refused(recommend, capsys, "codes", "--user", "ann-1")
    assert message.startswith("models/llm/config.json: no such file")


def test_codes_of_other_items_are_refused(
    recommend: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("data/codes/taste/items.parquet")
    write_table(pd.read_parquet(path).tail(-1), path, ITEM_CODES)
    assert "codes of other items" in refused(recommend, capsys, "codes", "--user", "ann-1")


@pytest.mark.usefixtures("project")
def test_a_user_to_whom_no_item_is_new_is_told_so() -> None:
    _, items = everybody()
    met = pd.DataFrame({"uid": 1, "iid": items.number, "label": 1})
    with pytest.raises(InputError, match="is new to this user; name them in --pairs"):
        new_pairs(met, 1, items)
    assert len(new_pairs(met[1:], 1, items)) == 1
