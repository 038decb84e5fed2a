"""Prompts: fields, order, odd titles, the limit on their length, and what `prompts` changes."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.io.errors import InputError
from stages.io.tables import (
    INTERACTIONS,
    ITEM_CODES,
    ITEMS,
    PROMPTS,
    SPLITS,
    USER_CODES,
    read_table,
    write_table,
)
from stages.prompts.codes import from_dotted, pack, to_dotted, unpack
from stages.prompts.content import Content, Flips, read_content
from stages.prompts.settings import PromptSettings, prompt_settings
from stages.prompts.text import UNKNOWN, Row, build_prompt, build_prompts, code_texts, quoted
from stages.prompts.tokenizer import load_tokenizer, token_limit
from stages.prompts.write import write_prompts
from tests.changed_params import write_params

FULL = Row(7, ["Fargo (1996)", "Heat (1995)"], "Alien (1979)", "0101", "1100")


def text_of(row: Row) -> str:
    prompt = build_prompt(row)
    return prompt.prefix + prompt.suffix


def test_fields_stand_in_the_papers_order() -> None:
    text = text_of(FULL)
    fields = ['"Fargo (1996)"', '"Heat (1995)"', "0101", '"Alien (1979)"', "1100", "Answer:"]
    assert [text.index(f) for f in fields] == sorted(text.index(f) for f in fields)
    assert text.endswith("Answer:")


def test_text_only_prompts_hold_no_word_of_codes() -> None:
    assert "code" not in text_of(Row(7, ["Fargo"], "Alien")).lower()


def test_id_only_prompts_hold_no_title() -> None:
    text = text_of(Row(7, None, "Alien (1979)", "0101", "1100"))
    assert "Alien" not in text and '"' not in text
    assert "0101" in text and "1100" in text


def test_an_empty_history_has_its_own_word() -> None:
    assert "liked: none\n" in text_of(Row(7, [], "Alien"))


def test_rows_of_one_user_and_history_share_their_prefix() -> None:
    other = Row(8, FULL.history, "Brazil (1985)", "0101", "0011")
    assert build_prompt(FULL).prefix == build_prompt(other).prefix
    assert build_prompt(FULL).suffix != build_prompt(other).suffix


@given(title=st.text())
def test_any_title_stays_one_quoted_line(title: str) -> None:
    line = quoted(title)
    assert line[0] == line[-1] == '"' and '"' not in line[1:-1]
    assert len(line.splitlines()) == 1


@given(title=st.text(st.characters(categories=["L", "N", "P"], exclude_characters='"'), min_size=1))
def test_letters_of_all_scripts_survive(title: str) -> None:
    assert quoted(title) == f'"{title}"'


def test_too_long_prompts_lose_their_oldest_titles_and_are_counted(tiny_llm_folder: Path) -> None:
    tokenizer = load_tokenizer(tiny_llm_folder)
    history = [f"Film number {i} of a very long list" for i in range(10)]
    row = Row(7, history, "Alien (1979)", "0101", "1100")
    whole = build_prompts([row], tokenizer, 8192)
    assert whole.shortened == 0
    built = build_prompts([row, FULL], tokenizer, 100)
    assert built.shortened == 1
    assert all(n <= 100 for n in built.n_tokens)
    kept = history[built.titles_dropped :]
    assert 0 < len(kept) < 10
    assert built.prompts[0] == build_prompt(Row(7, kept, "Alien (1979)", "0101", "1100"))
    one_more = Row(7, history[built.titles_dropped - 1 :], "Alien (1979)", "0101", "1100")
    assert build_prompts([one_more], tokenizer, 8192).n_tokens[0] > 100


def test_lengths_are_those_of_the_whole_prompt(tiny_llm_folder: Path) -> None:
    tokenizer = load_tokenizer(tiny_llm_folder)
    built = build_prompts([FULL], tokenizer, 8192)
    assert built.n_tokens == [len(tokenizer(text_of(FULL))["input_ids"])]


def test_a_title_that_alone_passes_the_limit_is_named(tiny_llm_folder: Path) -> None:
    tokenizer = load_tokenizer(tiny_llm_folder)
    with pytest.raises(InputError, match=r"row 9: .* 40 tokens"):
        build_prompts([Row(9, ["Fargo"], "long " * 200)], tokenizer, 40)


def test_the_limit_is_the_llms_own(tiny_llm_folder: Path, tmp_path: Path) -> None:
    assert token_limit(tiny_llm_folder) == 8192
    with pytest.raises(InputError, match="no such file"):
        token_limit(tmp_path)


CODES = {"uid": [1, 2], "bits": ["01", "10"], "dotted": ["1", "2"], "trained": [True, False]}


@pytest.mark.parametrize(
    ("compress", "untrained", "expected"),
    [
        (False, "learned", {1: "01", 2: "10"}),
        (True, "learned", {1: "1", 2: "2"}),
        (False, "word", {1: "01", 2: "unknown"}),
    ],
)
def test_codes_stand_as_asked(compress: bool, untrained: str, expected: dict[int, str]) -> None:
    assert code_texts(CODES, "uid", compress=compress, untrained=untrained) == expected


@given(packed=st.binary(min_size=1, max_size=8), seed=st.integers(0, 2**32 - 1))
def test_noise_flips_the_same_bits_of_both_forms_of_a_code(packed: bytes, seed: int) -> None:
    bits, dotted = (
        Flips(0.3, np.random.default_rng(seed))(code)
        for code in (unpack(packed), to_dotted(packed))
    )
    assert pack(bits) == from_dotted(dotted)


def test_noise_flips_the_share_of_bits_it_is_asked_for() -> None:
    flips = Flips(0.2, np.random.default_rng(1))
    flipped = sum(flips("0" * 32).count("1") for _ in range(1000))
    assert 0.19 < flipped / 32_000 < 0.21
    assert Flips(0.0, np.random.default_rng(1))("0" * 32) == "0" * 32
    assert flips(UNKNOWN) == UNKNOWN


def test_rows_of_one_history_share_the_noise_in_the_users_code() -> None:
    interactions = pa.table(
        {
            "row": range(4),
            "uid": [1, 1, 1, 2],
            "iid": [1, 1, 1, 1],
            "history": [[], [], [1], [1]],
        }
    )
    codes = {1: "0" * 32, 2: "0" * 32}
    content = Content({1: "Alien"}, True, 10, codes, codes)
    rows = content.rows(interactions, Flips(0.5, np.random.default_rng(1)))
    users = [row.user_code for row in rows]
    assert users[0] == users[1] and len(set(users)) == 3
    assert len({row.item_code for row in rows}) == 4
    assert {row.user_code for row in content.rows(interactions)} == {"0" * 32}


# Sets of prompts: the entries of `prompts` in params.yaml.

TITLES_ALONE = {"max_titles": 10, "max_tokens": None}
WITH_CODES = TITLES_ALONE | {
    "fields": "text+codes",
    "untrained_codes": "learned",
    "flip_bits": 0.0,
    "compress": False,
    "seed": 1,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings_of(name: str, changes: dict[str, Any] | None = None) -> PromptSettings:
    """What shapes a set of prompts in the project's params, some of their keys changed."""
    write_params(changes or {})
    return prompt_settings(name)


@pytest.mark.usefixtures("folder")
def test_the_projects_two_sets_are_titles_alone_and_titles_with_codes() -> None:
    text, codes = settings_of("text"), settings_of("codes")
    assert (text.codes, text.codes_folder, text.key()) == (None, None, TITLES_ALONE)
    assert (codes.codes, codes.codes_folder) == ("binmf", Path("data/codes/binmf"))
    assert codes.key() == WITH_CODES


@pytest.mark.usefixtures("folder")
def test_what_an_entry_changes_overrides_the_section_and_compress_and_nothing_else() -> None:
    changed = {"max_titles": 3, "fields": "codes", "compress": True}
    settings = settings_of(
        "other", {"prompts.other": {"content": "codes/binmf", "changes": changed}}
    )
    assert settings.key() == WITH_CODES | changed
    assert prompt_settings("codes").key() == WITH_CODES
    assert prompt_settings("text").key() == TITLES_ALONE


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("general", [False, True])
def test_an_entry_says_itself_how_its_codes_are_written(general: bool) -> None:
    changes: dict[str, Any] = {"compress": general}
    for name, own in (("bits", False), ("dotted", True)):
        changes[f"prompts.{name}"] = {"content": "codes/binmf", "changes": {"compress": own}}
    write_params(changes)
    found = {name: prompt_settings(name).compress for name in ("bits", "dotted", "codes", "text")}
    assert found == {"bits": False, "dotted": True, "codes": general, "text": None}


@pytest.mark.usefixtures("folder")
def test_a_set_of_prompts_may_hold_another_set_of_codes() -> None:
    changes = {"codes.wide": {"dim": 64}, "prompts.wide": {"content": "codes/wide"}}
    settings = settings_of("wide", changes)
    assert settings.codes_folder == Path("data/codes/wide")
    assert settings.key() == WITH_CODES


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"content": "codes"}, "prompts.other.content = 'codes': "),
        ({"content": "codes/Bin MF"}, "prompts.other.content = 'codes/Bin MF': "),
        ({"content": "codes/none"}, "codes has no 'none'; expected binmf"),
        ({}, "prompts.other.content is missing"),
        ({"content": "interactions", "max_titles": 3}, "prompts.other.max_titles is unknown"),
        ({"content": "interactions", "changes": 3}, "prompts.other.changes = 3: "),
        (
            {"content": "interactions", "changes": {"max_titles": -1}},
            "prompts.other.changes.max_titles = -1: ",
        ),
        (
            {"content": "codes/binmf", "changes": {"flip_bits": 0.6}},
            "prompts.other.changes.flip_bits = 0.6: ",
        ),
        (
            {"content": "codes/binmf", "changes": {"rows": 1}},
            "prompts.other.changes.rows is unknown; allowed in prompts.other.changes: max_titles, ",
        ),
        (
            {"content": "codes/binmf", "changes": {"compress": "yes"}},
            "prompts.other.changes.compress = 'yes': expected true or false",
        ),
    ],
)
def test_a_bad_set_of_prompts_is_one_line_that_names_the_key(
    entry: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        settings_of("other", {"prompts.other": entry})
    assert str(caught.value).startswith(f"params.yaml: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("folder")
def test_an_unknown_set_of_prompts_is_one_line_that_names_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        settings_of("words")
    assert str(caught.value) == "params.yaml: prompts has no 'words'; expected text, codes"


@pytest.mark.usefixtures("folder")
def test_a_bad_value_of_the_section_is_named_there_though_an_entry_changes_others() -> None:
    entry = {"content": "codes/binmf", "changes": {"fields": "codes"}}
    changes = {"prompts.other": entry, "materialize_prompts.max_titles": -1}
    with pytest.raises(InputError, match=r"^params\.yaml: materialize_prompts\.max_titles = -1: "):
        settings_of("other", changes)


# Written prompts.

FILMS = ["Alien", "Brazil", "Casablanca", "Dune", "Eraser"]


def write_data(folder: Path) -> None:
    """Three users who liked the films before each row's own, two sets of codes, one untrained."""
    interactions, codes = folder / "data/interactions", folder / "data/codes/binmf"
    iids = range(1, len(FILMS) + 1)
    for number, split in enumerate(SPLITS):
        rows = pd.DataFrame(
            [(uid, iid, iid % 2, list(range(1, iid))) for uid in (1, 2, 3) for iid in iids],
            columns=["uid", "iid", "label", "history"],
        )
        rows["row"] = rows.index + number * len(rows)
        rows = rows.assign(timestamp=rows["row"], seen=True, warm=True)
        write_table(rows, interactions / f"{split}.parquet", INTERACTIONS)
    items = pd.DataFrame({"iid": iids, "source_id": FILMS, "title": FILMS, "n_train": 3})
    write_table(items, interactions / "items.parquet", ITEMS)
    for name, key, ids, schema in (
        ("users", "uid", range(1, 4), USER_CODES),
        ("items", "iid", iids, ITEM_CODES),
    ):
        packed = [bytes([16 * i, 200 + i]) for i in ids]
        table = {
            key: ids,
            "bits": list(map(unpack, packed)),
            "packed": packed,
            "dotted": list(map(to_dotted, packed)),
            "trained": [i != 2 for i in ids],
        }
        write_table(pd.DataFrame(table), codes / f"{name}.parquet", schema)


@pytest.fixture(scope="module", autouse=True)
def one_tokenizer() -> Iterator[None]:
    """Loads the tokenizer once, not for each table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.prompts.write.load_tokenizer", cache(load_tokenizer))
        yield


def written(settings: PromptSettings, llm: Path) -> dict[str, pa.Table]:
    """The tables of a set of prompts, by name."""
    out, source = Path("out"), Path("data/interactions")
    counts = write_prompts(settings, out, interactions=source, llm=llm, title="test")
    assert {path.stem for path in out.iterdir()} == set(counts)
    return {name: read_table(out / f"{name}.parquet", PROMPTS) for name in counts}


SHAPING = [
    ({"materialize_prompts.max_titles": 2}, {"text", "codes"}),
    ({"prompts.text.changes": {"max_tokens": 36}}, {"text"}),
    ({"prompts.codes.changes": {"max_tokens": 76}}, {"codes"}),
    ({"materialize_prompts.fields": "codes"}, {"codes"}),
    ({"materialize_prompts.untrained_codes": "word"}, {"codes"}),
    ({"materialize_prompts.flip_bits": 0.4}, {"codes"}),
    ({"compress": True}, {"codes"}),
    ({"seed": 2}, {"codes"}),
    ({"prompts.codes.changes": {"max_titles": 2}}, {"codes"}),
    ({"prompts.text.changes": {"fields": "codes", "compress": True}}, set()),
    ({"pretrain_hash.dim": 64}, set()),
    ({"train_lora.epochs": 2}, set()),
    ({"predict.rows": None}, set()),
]


NOISE = {"materialize_prompts.flip_bits": 0.2}  # without it the seed shapes nothing


@pytest.fixture(scope="module")
def before(
    tmp_path_factory: pytest.TempPathFactory, tiny_llm_folder: Path
) -> dict[str, tuple[dict[str, Any], dict[str, pa.Table]]]:
    """Key and tables of the two sets, with noise."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("before"))
        write_data(Path())
        for name in ("text", "codes"):
            settings = settings_of(name, NOISE)
            found[name] = settings.key(), written(settings, tiny_llm_folder)
    return found


@pytest.mark.parametrize(("changes", "expected"), SHAPING)
def test_the_key_of_a_set_changes_exactly_where_its_prompts_do(
    folder: Path,
    tiny_llm_folder: Path,
    before: dict[str, tuple[dict[str, Any], dict[str, pa.Table]]],
    changes: dict[str, Any],
    expected: set[str],
) -> None:
    write_data(folder)
    write_params(NOISE | changes)
    for name, (key, tables) in before.items():
        settings = prompt_settings(name)
        assert (settings.key() != key) == (name in expected)
        assert (written(settings, tiny_llm_folder) != tables) == (name in expected)


def test_prompts_with_codes_have_their_train_rows_once_more_without_titles(
    folder: Path, tiny_llm_folder: Path
) -> None:
    write_data(folder)
    text = written(settings_of("text"), tiny_llm_folder)
    codes = written(settings_of("codes"), tiny_llm_folder)
    assert list(text) == [*SPLITS] and list(codes) == [*SPLITS, "train_ids"]
    for name, table in {**text, **codes}.items():
        found = {FILMS[0] in prefix for prefix in table["prefix"].to_pylist()}
        assert found == ({False} if name == "train_ids" else {False, True})
    keys = ["row", "uid", "iid", "label"]
    assert codes["train_ids"].select(keys) == codes["train"].select(keys)
    assert text["train"].select(keys) == codes["train"].select(keys)


def test_only_train_rows_meet_noise(folder: Path, tiny_llm_folder: Path) -> None:
    write_data(folder)
    plain = written(settings_of("codes"), tiny_llm_folder)
    noisy = written(
        settings_of("codes", {"prompts.codes.changes": {"flip_bits": 0.5}}), tiny_llm_folder
    )
    changed = {name for name, table in plain.items() if noisy[name] != table}
    assert changed == {"train", "train_ids"}


def test_codes_of_other_items_are_refused(folder: Path) -> None:
    write_data(folder)
    path = folder / "data/codes/binmf/items.parquet"
    write_table(read_table(path, ITEM_CODES).slice(1), path, ITEM_CODES)
    with pytest.raises(InputError, match="data/codes/binmf: codes of other items than in"):
        read_content(settings_of("codes"), Path("data/interactions"))
