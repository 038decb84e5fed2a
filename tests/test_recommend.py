"""The command `recommend`: the pipeline's own prompts and scores, for any users and items."""

import importlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftConfig
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from stages.io.damage import DIGESTS
from stages.io.errors import InputError, run_stage
from stages.io.paths import TABLE, adapter_folder
from stages.io.progress import Progress
from stages.io.tables import ITEM_CODES, ITEMS, SPLITS, USERS, write_json, write_table
from stages.llm import partial_scores as partial
from stages.llm.adapters import add_adapter, load_adapter, trainable_parameters
from stages.llm.card import name_base
from stages.llm.fetching.origin import public_name, resolve
from stages.llm.load import Llm, load_llm
from stages.llm.partial_scores import read_score
from stages.llm.score import score_prompts
from stages.llm.steps import card_of, write_adapter
from stages.llm.tune import Tuned
from stages.llm.variants import training_settings
from stages.prompts.codes import to_words
from stages.prompts.content import read_content
from stages.prompts.settings import prompt_settings
from stages.prompts.text import Prompt
from stages.prompts.tokenizer import token_limit
from stages.recommend.__main__ import main
from stages.recommend.candidates import (
    Ids,
    histories_now,
    met_items,
    new_pairs,
    read_interactions,
    read_pairs,
)
from stages.recommend.catalogue import STRANGER, Catalogue
from stages.recommend.outputs import RANKED, listing, ranked
from stages.recommend.ranker import Ranker
from stages.recommend.scores import prompts_of, user_blocks
from stages.recommend.share import main as share_main
from tests.changed_params import write_params

ROOT = Path(__file__).resolve().parent.parent
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
            write_random_adapter(tiny_llm_folder, kind)
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


def write_random_adapter(llm_folder: Path, variant: str) -> None:
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
    tuned = Tuned(weights, [], [], {"rows": 8.0, "auc": 0.5}, 0.0)
    card = card_of(variant, llm, llm_folder, tuned, training_settings(variant))
    write_adapter(llm, tuned, "yes_minus_no", adapter_folder(variant), card)


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
    liked = rng.normal(size=(sizes["items"] + 1, 16)).astype(np.float32)
    save_file({"liked": liked}, folder / "liked.safetensors")
    write_json({"history": 25}, folder / "codes.json")
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
    codes = pd.read_parquet("data/codes/taste/users.parquet").set_index("uid")["packed"]
    for (uid, _), prompt in zip(pairs, prompts("codes", pairs, llm), strict=True):
        assert f"User code: {to_words(codes[uid])}" in prompt.prefix.splitlines()


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
    pairs = new_pairs(met_items(read_interactions(Path("data/interactions"))), [2], items)
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


def test_all_users_and_a_file_of_users_are_answered_as_each_alone(recommend: Command) -> None:
    pd.DataFrame({"user": ["ann-5", "ann-3", "ann-5"]}).to_csv("who.csv", index=False)
    recommend("text", "--users", "who.csv", "--out", "some.parquet")
    recommend("text", "--users", "all", "--out", "all.parquet")
    recommend("text", "--user", "ann-3", "--out", "one.parquet")
    some, everyone, one = (
        pd.read_parquet(f"{name}.parquet").set_index(["user", "item"])
        for name in ("some", "all", "one")
    )
    assert set(some.index.get_level_values("user")) == {"ann-3", "ann-5"}
    assert set(everyone.index.get_level_values("user")) == set(USER_NAMES)
    met = pd.read_csv("data/raw/interactions.csv").set_index(["user", "item"])
    assert not everyone.index.isin(met.index).any()
    assert len(everyone) == len(USER_NAMES) * len(ITEM_NAMES) - len(met) - unrated(met)
    for whole in (everyone, some):
        np.testing.assert_allclose(whole.loc[one.index, "score"], one["score"], atol=1e-4)
    assert (everyone.loc[some.index, "rank"] == some["rank"]).all()


def unrated(met: pd.DataFrame) -> int:
    """Pairs with an item that nobody has rated: the interactions do not know it."""
    return len(USER_NAMES) * (len(ITEM_NAMES) - met.index.get_level_values("item").nunique())


def test_csv_and_json_lines_hold_what_parquet_holds(recommend: Command) -> None:
    whole = pd.read_parquet("codes.parquet")
    for ending, read in ((".csv", pd.read_csv), (".jsonl", read_lines)):
        recommend("codes", "--pairs", "wanted.csv", "--out", f"again{ending}")
        found = read(f"again{ending}")
        assert found.columns.tolist() == RANKED.names
        assert (found["score"].astype(np.float32) == whole["score"]).all()  # to the last bit
        for name in ("user", "item", "title", "rank"):
            assert found[name].tolist() == whole[name].tolist()


def read_lines(path: str) -> pd.DataFrame:
    return pd.DataFrame([json.loads(line) for line in Path(path).read_text().splitlines()])


def test_someone_new_is_asked_with_the_history_that_came_with_the_question(
    recommend: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user of titles alone has the same prompts as someone new with that user's history."""
    known = Catalogue.of_run("text")
    uid = known.users.number_of("ann-6")
    liked = known.items.sources(np.array(known.liked[uid]))
    recommend("text", "--history", ", ".join(liked), "--top", 2, "--out", "new.parquet")
    assert capsys.readouterr().out.startswith("someone new, text: ")
    recommend("text", "--user", "ann-6", "--out", "ann.parquet")
    new, ann = (pd.read_parquet(f"{name}.parquet").set_index("item") for name in ("new", "ann"))
    assert set(new.index) == set(known.items.source.to_pylist()) - set(liked)
    np.testing.assert_allclose(new.loc[ann.index, "score"], ann["score"], atol=1e-4)


@pytest.mark.parametrize("untrained", ["learned", "word"])
@pytest.mark.usefixtures("project")
def test_the_code_of_someone_new_follows_from_what_they_liked_and_their_kindness_is_average(
    llm: Llm, untrained: str
) -> None:
    write_params({**PARAMS, "materialize_prompts.untrained_codes": untrained})
    liked = ["B001", "B002"]
    known = Catalogue.of_run("codes").with_stranger(liked)
    pairs = new_pairs(known.met, [STRANGER], known.items)
    assert len(pairs) == len(known.items.number) - 2
    prompt = prompts_of(pairs, known.liked, known.content, llm.tokenizer, known.max_tokens)[0]
    vectors = load_file("models/hash/taste/liked.safetensors")["liked"]
    iids = [known.items.number_of(item, "") for item in liked]
    bits = vectors[iids].sum(0) / 2**0.5 + vectors[0] > 0
    code = to_words(np.packbits(bits).tobytes()) if untrained == "learned" else "unknown"
    assert {"User kindness: 5", f"User code: {code}"} <= set(prompt.prefix.splitlines())
    assert prompt.prefix.startswith("Items the user liked: \"The '1'th film")


@pytest.mark.usefixtures("project")
def test_no_more_likes_count_for_someone_new_than_for_users_of_the_data() -> None:
    found = Catalogue.of_run("codes").newcomers
    assert found is not None and found.history == KEEP
    more = replace(found, history=25)
    assert found.code([1, 2, 3, 4, 5]) == more.code([3, 4, 5]) != more.code([1, 2, 3, 4, 5])


def test_a_shared_folder_that_has_lost_what_codes_follow_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share(monkeypatch, "codes", "--out", "shared")
    Path("shared/liked.parquet").unlink()
    with pytest.raises(InputError, match=r"shared: liked.parquet is missing, which ranker.json"):
        Catalogue.of_folder(Path("shared"))


@pytest.mark.usefixtures("project")
def test_where_codes_do_not_follow_likes_someone_new_has_none() -> None:
    Path("data/codes/taste/liked.parquet").unlink()
    known = Catalogue.of_run("codes").with_stranger(["B001"])
    assert (known.content.user_codes or {})[STRANGER] == "unknown"


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
        (["--users", "all"], "--users: --out is missing"),
        (["--users", "none.csv", "--out", "a.csv"], "none.csv: no such file"),
        (["--users", "all", "--out", "a.xlsx"], "--out a.xlsx: expected the name of a file that"),
        (["--history", ""], "--history '': expected a source_id of data/interact"),
        (["--user", ""], "--user '': expected a source_id of data/interactions/users.parqu"),
        (["--history", "B001,B999"], "--history 'B999': expected a source_id of data/interact"),
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
    with pytest.raises(InputError, match="is new to this user; name them in --pairs"):
        new_pairs({1: items.number}, [1], items)
    assert len(new_pairs({1: items.number[1:], 2: items.number}, [1, 2], items)) == 1


# What leaves the house.


@pytest.mark.usefixtures("project")
def test_plain_transformers_and_peft_give_the_documented_scores(tiny_llm_folder: Path) -> None:
    """The documentation's own lines, run as they stand there."""
    text = (ROOT / "docs/sharing.md").read_text(encoding="utf-8")
    lines = text.split("```python\n")[1].split("```")[0]
    assert len(lines.strip().splitlines()) == 15 and "stages" not in lines
    found: dict[str, Any] = {}
    exec(lines, found)
    prompts = (found["rows"]["prefix"] + found["rows"]["suffix"]).tolist()
    tuned = load_adapter(load_llm(tiny_llm_folder, precision="float32"), adapter_folder("codes"))
    ours = score_prompts(tuned, prompts, score=read_score(adapter_folder("codes")))
    assert len(prompts) == 8 and np.ptp(ours) > 0.05
    np.testing.assert_allclose(found["scores"], ours, atol=1e-3)


def share(patch: pytest.MonkeyPatch, *arguments: object) -> None:
    patch.setattr(sys, "argv", ["share", *map(str, arguments)])
    share_main()


@pytest.mark.usefixtures("project")
def test_a_shared_folder_ranks_elsewhere_as_the_project_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    share(monkeypatch, "codes", "--out", tmp_path / "shared", "--with-users")
    at_home = Ranker.of_run("codes")
    (tmp_path / "nothing").mkdir()
    monkeypatch.chdir(tmp_path / "nothing")  # no params.yaml, no data
    elsewhere = Ranker.load("../shared", precision="float32")
    for one, other in (
        (at_home.top("ann-3", 5), elsewhere.top("ann-3", 5)),
        (at_home.top_for(["B003", "B007"], 5), elsewhere.top_for(["B003", "B007"], 5)),
    ):
        assert len(one) == 5 and one["score"].is_monotonic_decreasing
        assert one.drop(columns="score").equals(other.drop(columns="score"))
        np.testing.assert_allclose(one["score"], other["score"], atol=1e-4)
    pairs = elsewhere.new_to(elsewhere.catalogue.users.number.tolist())
    assert (pairs == new_pairs(at_home.catalogue.met, range(1, 9), at_home.catalogue.items)).all()


@pytest.mark.usefixtures("project")
def test_the_merged_weights_score_in_plain_transformers_as_the_adapter_does(
    monkeypatch: pytest.MonkeyPatch, tiny_llm_folder: Path
) -> None:
    share(monkeypatch, "codes", "--out", "shared")
    merged = AutoModelForCausalLM.from_pretrained("shared", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained("shared")
    tuned = load_adapter(load_llm(tiny_llm_folder, precision="float32"), adapter_folder("codes"))
    rows = pd.read_parquet("data/prompts/codes/test.parquet").head(3)
    for prompt in rows["prefix"] + rows["suffix"]:
        logits = merged(**tokenizer(prompt, return_tensors="pt")).logits[0, -1].detach()
        (ours,) = score_prompts(tuned, [prompt], score="yes_minus_no")
        assert float(logits[9230] - logits[2838]) == pytest.approx(ours, abs=1e-3)
    names = {path.name for path in Path("shared").iterdir()}
    assert "adapter_model.safetensors" not in names and "tokenizer.json" in names


@pytest.mark.usefixtures("project")
def test_users_stay_out_of_a_shared_folder_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    share(monkeypatch, "codes", "--out", "shared")
    said = json.loads(Path("shared/ranker.json").read_text())
    assert said["content"]["user_codes"] == said["content"]["user_rates"] == {}
    assert len(said["content"]["item_codes"]) == len(said["content"]["titles"]) > 30
    assert len(pd.read_parquet("shared/users.parquet")) == 0
    for path in Path("shared").iterdir():
        assert b"ann-" not in path.read_bytes(), path
    best = Ranker.load("shared", precision="float32").top_for(["B001"], 3)
    assert best["rank"].tolist() == [1, 2, 3] and set(best["user"]) == {"new"}
    with pytest.raises(InputError, match="--user 'ann-1': expected a source_id of shared/users"):
        Ranker.load("shared", precision="float32").top("ann-1")


@pytest.mark.usefixtures("project")
def test_the_shared_card_has_the_figures_on_test_rows_that_evaluate_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    share(monkeypatch, "codes", "--out", "before")
    assert "- on test rows: not evaluated\n" in Path("before/README.md").read_text()
    recorded = json.loads((ROOT / "metrics/evaluate.json").read_text(encoding="utf-8"))
    row = recorded["methods"]["codes"]
    del row["intervals"]["uauc"]
    write_json(recorded, TABLE)
    share(monkeypatch, "codes", "--out", "after")
    card, span = Path("after/README.md").read_text(), row["intervals"]["auc"]
    assert (
        f"- AUC on {row['rows']:,} test rows: {row['auc']:.4f}, 95% interval over users "
        f"[{span['low']:.4f}, {span['high']:.4f}]\n"
    ) in card
    assert "\n- GAUC on " in card and "\n- UAUC on " not in card and "not evaluated" not in card


@pytest.mark.usefixtures("project")
def test_what_is_there_is_not_overwritten_and_a_folder_of_another_kind_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match="--out data: is there already"):
        share(monkeypatch, "codes", "--out", "data")
    with pytest.raises(InputError, match=r"data/ranker.json: no such file"):
        Ranker.load("data")
    Path("data/ranker.json").write_text('{"content": {"words": {}}}')
    with pytest.raises(InputError, match=r"data/ranker.json: not written by stages.recommend"):
        Ranker.load("data")


@pytest.mark.usefixtures("project")
def test_the_adapters_card_says_what_is_needed_to_score_elsewhere() -> None:
    card = (adapter_folder("codes") / "README.md").read_text(encoding="utf-8")
    written = pd.read_parquet("data/prompts/codes/test.parquet").iloc[0]
    prompt = written["prefix"] + written["suffix"]
    form = card.split("```text\n")[1].split("\n```")[0]
    starts = [line.split(":")[0] for line in form.splitlines()]
    assert starts == [line.split(":")[0] for line in prompt.splitlines()]
    assert form.splitlines()[-1] == prompt.splitlines()[-1]
    assert 'the logit of " Yes" (id 9230) less that of " No" (id 2838)' in card
    assert "- train rows seen: 8" in card and "- AUC on 300 drawn validation rows: 0.5000" in card
    known = json.loads((adapter_folder("codes") / "tuning.json").read_text())
    assert known["answer_ids"] == {" Yes": 9230, " No": 2838}


@pytest.mark.usefixtures("project")
def test_an_adapter_names_no_folder_of_this_project_as_its_base(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = adapter_folder("codes")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None  # an LLM of two layers is nowhere else
    assert "models/llm" not in (folder / "README.md").read_text().split("## Trained by")[0]

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("huggingface_hub.file_download._get_metadata_or_catch_error", asked)
    with pytest.raises((OSError, ValueError, TypeError)):
        AutoPeftModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize(
    ("source", "revision", "named", "at"),
    [
        ("smollm2-135m", None, "HuggingFaceTB/SmolLM2-135M-Instruct", None),
        ("owner/llm", "a" * 40, "owner/llm", "a" * 40),
    ],
)
def test_an_adapter_names_the_hubs_repository_of_its_llm_at_its_commit(
    tmp_path: Path, source: str, revision: str | None, named: str, at: str | None
) -> None:
    config = tmp_path / "adapter_config.json"
    LoraConfig(base_model_name_or_path="models/llm", r=3).save_pretrained(tmp_path)
    facts = public_name(resolve(source, revision), None)
    name_base(config, facts)
    found = PeftConfig.from_pretrained(tmp_path)
    assert (found.base_model_name_or_path, found.revision, found.r) == (named, at, 3)
    assert public_name(resolve(source, revision), 2) == {}  # cut, it is another LLM


@pytest.mark.usefixtures("project")
def test_an_adapter_written_again_is_the_same_to_the_byte_and_readable_by_all(
    tiny_llm_folder: Path,
) -> None:
    folder = adapter_folder("codes")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree("models/adapters/codes")
    write_random_adapter(tiny_llm_folder, "codes")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    names = {"README.md", "adapter_config.json", "adapter_model.safetensors", "tuning.json"}
    names |= {DIGESTS}
    assert set(before) == names
