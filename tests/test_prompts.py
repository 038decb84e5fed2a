"""Prompts: fields, order, odd titles, like-rates, teachers, lengths, what `prompts` changes."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from stages.io.errors import InputError
from stages.io.tables import (
    INTERACTIONS,
    ITEM_CODES,
    ITEMS,
    PROMPTS,
    ROW_CODES,
    SPLITS,
    TEACHER,
    USER_CODES,
    read_table,
    write_table,
)
from stages.prompts.codes import READ, WRITTEN, Form, to_dotted, unpack
from stages.prompts.content import Content, Flips, read_content
from stages.prompts.main_effects import (
    FoldedEffects,
    MainEffects,
    fit_main_effects,
    fit_out_of_fold,
    fold_of_rows,
    levels,
    title_words,
)
from stages.prompts.rows import TRAINING_GROUP_ROWS, read_prompts, sample_groups
from stages.prompts.settings import PromptSettings, prompt_settings
from stages.prompts.text import (
    QUESTION,
    UNKNOWN,
    Prompt,
    Row,
    build_prompt,
    build_prompts,
    code_texts,
    quoted,
)
from stages.prompts.tokenizer import load_tokenizer, token_limit
from stages.prompts.write import teachers_of, texts_of, train_rates, write_prompts
from tests.changed_params import write_params

FULL = Row(7, ["Fargo (1996)", "Heat (1995)"], "Alien (1979)", "0101", "1100")
RATED = replace(FULL, user_rate="6", item_rate="7")


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
    content = Content({1: "Alien (1979)"}, True, 10, {7: "0101"}, {1: "1100"}).without_titles()
    rows = pa.table({"row": [7], "uid": [7], "iid": [1], "history": [[1]]})
    (row,) = content.rows(rows)
    assert row == Row(7, None, None, "0101", "1100")
    text = text_of(row)
    assert "Alien" not in text and '"' not in text
    assert "0101" in text and "1100" in text


def test_rates_stand_between_titles_and_codes() -> None:
    assert build_prompt(RATED).prefix.splitlines() == [
        'Items the user liked: "Fargo (1996)", "Heat (1995)"',
        "User kindness: 6",
        "User code: 0101",
    ]
    assert build_prompt(RATED).suffix.splitlines() == [
        "",
        'Item: "Alien (1979)"',
        "Item appeal: 7",
        "Item code: 1100",
        QUESTION,
    ]


def test_liked_items_stand_with_their_codes() -> None:
    liked = replace(FULL, history_codes=["1111", "0000"])
    first = build_prompt(liked).prefix.splitlines()[0]
    assert first == 'Items the user liked: "Fargo (1996)" (1111), "Heat (1995)" (0000)'
    alone = build_prompt(replace(liked, history=None)).prefix.splitlines()[0]
    assert alone == "Items the user liked: 1111, 0000"
    assert "liked: none" in build_prompt(replace(liked, history=None, history_codes=[])).prefix


OTHER_WORDING = (
    "Someone liked {history}.",
    " They like level {user_rate}",
    " and have {user_code}.",
    " Asked: {title}",
    " of {item_code}",
    " and {item_rate}?",
    "\nYes or No?",
)


def test_another_wording_says_the_same_fields_in_its_words() -> None:
    full = build_prompt(RATED, OTHER_WORDING)
    assert full.prefix == (
        'Someone liked "Fargo (1996)", "Heat (1995)". They like level 6 and have 0101.'
    )
    assert full.suffix == ' Asked: "Alien (1979)" of 1100 and 7?\nYes or No?'
    text = build_prompt(replace(RATED, user_code=None, item_code=None), OTHER_WORDING)
    assert "0101" not in whole(text) and "1100" not in whole(text)
    ids = build_prompt(replace(FULL, history=None, title=None), OTHER_WORDING)
    assert whole(ids) == "and have 0101. of 1100\nYes or No?"


def whole(prompt: Prompt) -> str:
    return prompt.prefix + prompt.suffix


def test_a_row_without_history_has_no_prefix() -> None:
    prompt = build_prompt(Row(7, None, "Alien (1979)"))
    assert (prompt.prefix, prompt.suffix) == ("", f'Item: "Alien (1979)"\n{QUESTION}')


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


CODES = {"uid": [1, 2], "packed": [b"\x01", b"\xc0"], "trained": [True, False]}


@pytest.mark.parametrize(
    ("form", "untrained", "expected"),
    [
        ("digits", "learned", {1: "00000001", 2: "11000000"}),
        ("dotted", "learned", {1: "1", 2: "192"}),
        (
            "words",
            "learned",
            {
                1: "red man dog sun book road ship salt",
                2: "blue king dog sun book road ship iron",
            },
        ),
        ("digits", "word", {1: "00000001", 2: "unknown"}),
    ],
)
def test_codes_stand_as_asked(form: Form, untrained: str, expected: dict[int, str]) -> None:
    assert code_texts(CODES, "uid", form=form, untrained=untrained) == expected


@given(packed=st.binary(min_size=1, max_size=8), seed=st.integers(0, 2**32 - 1))
def test_noise_flips_the_same_bits_of_all_forms_of_a_code(packed: bytes, seed: int) -> None:
    noisy = {
        READ[form](Flips(0.3, np.random.default_rng(seed), form)(WRITTEN[form](packed)))
        for form in WRITTEN
    }
    assert len(noisy) == 1


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

RATES = {"rate_c": 2.0, "rate_title_weight": 1.0, "rate_folds": 5, "seed": 1}
LEVELS = {"rate_levels": 27}  # where rates are shown
TITLES_ALONE = {"fields": ["titles"], "max_titles": 10, "max_tokens": None, **RATES}
WITH_CODES = TITLES_ALONE | {
    "fields": ["titles", "rates", "codes"],
    "untrained_codes": "learned",
    "flip_bits": 0.0,
    "form": "words",
    **LEVELS,
}
CODES_ALONE = {"fields": ["codes"], "max_tokens": None} | {
    name: WITH_CODES[name] for name in ("untrained_codes", "flip_bits", "form")
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
    assert (codes.codes, codes.codes_folder) == ("taste", Path("data/codes/taste"))
    assert codes.key() == WITH_CODES


@pytest.mark.usefixtures("folder")
def test_what_an_entry_changes_overrides_the_section_and_compress_and_nothing_else() -> None:
    changed = {"max_titles": 3, "fields": ["titles", "rates", "codes"]}
    entry = {"content": "codes/taste", "changes": {**changed, "compress": True}}
    settings = settings_of("other", {"prompts.other": entry})
    assert settings.key() == WITH_CODES | changed | {"form": "dotted"}
    assert prompt_settings("codes").key() == WITH_CODES
    assert prompt_settings("text").key() == TITLES_ALONE


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("content", "fields", "shown", "key"),
    [
        ("interactions", ["rates", "titles"], ("titles", "rates"), TITLES_ALONE | LEVELS),
        ("interactions", ["codes", "rates"], ("rates",), {"max_tokens": None} | RATES | LEVELS),
        ("codes/taste", ["codes", "titles", "rates"], ("titles", "rates", "codes"), WITH_CODES),
        ("codes/taste", ["codes"], ("codes",), CODES_ALONE),
        ("codes/taste", ["titles"], ("titles",), {"max_titles": 10, "max_tokens": None}),
    ],
)
def test_fields_stand_in_one_order_and_the_key_holds_what_they_need(
    content: str, fields: list[str], shown: tuple[str, ...], key: dict[str, Any]
) -> None:
    entry = {"content": content, "changes": {"fields": fields}}
    settings = settings_of("other", {"prompts.other": entry})
    assert settings.shown == shown
    assert settings.key() == key | {"fields": list(shown)}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("general", [False, True])
def test_an_entry_says_itself_how_its_codes_are_written(general: bool) -> None:
    changes: dict[str, Any] = {"compress": general}
    for name, own in (("bits", False), ("dotted", True)):
        changes[f"prompts.{name}"] = {"content": "codes/taste", "changes": {"compress": own}}
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
        ({"content": "codes/none"}, "codes has no 'none'; expected taste, binmf"),
        ({}, "prompts.other.content is missing"),
        ({"content": "interactions", "max_titles": 3}, "prompts.other.max_titles is unknown"),
        ({"content": "interactions", "changes": 3}, "prompts.other.changes = 3: "),
        (
            {"content": "interactions", "changes": {"max_titles": -1}},
            "prompts.other.changes.max_titles = -1: ",
        ),
        (
            {"content": "codes/taste", "changes": {"flip_bits": 0.6}},
            "prompts.other.changes.flip_bits = 0.6: ",
        ),
        (
            {"content": "codes/taste", "changes": {"fields": []}},
            "prompts.other.changes.fields = []: list should have at least 1 item",
        ),
        (
            {"content": "codes/taste", "changes": {"fields": ["codes", "titles", "codes"]}},
            "prompts.other.changes.fields = ['codes', 'titles', 'codes']: value error, 'codes' st",
        ),
        (
            {"content": "codes/taste", "changes": {"fields": "codes"}},
            "prompts.other.changes.fields = 'codes': input should be a valid list",
        ),
        (
            {"content": "codes/taste", "changes": {"fields": ["text"]}},
            "prompts.other.changes.fields.0 = 'text': input should be 'titles', 'rates', 'code",
        ),
        (
            {"content": "interactions", "changes": {"fields": ["codes"]}},
            "prompts.other: of fields ['codes'] prompts of interactions have none; expected ",
        ),
        (
            {"content": "codes/taste", "changes": {"fields": ["titles", "history_codes"]}},
            "prompts.other.changes.fields = ['titles', 'history_codes']: value error, 'his",
        ),
        (
            {"content": "interactions", "changes": {"wording": ["{title}", "\n{asked}"]}},
            "prompts.other.changes.wording = ['{title}', '\\n{asked}']: value error, '\\n{ask",
        ),
        (
            {"content": "interactions", "changes": {"wording": ["{title}", "\nWell?"]}},
            "prompts.other.changes.wording = ['{title}', '\\nWell?']: value error, {history} s",
        ),
        (
            {"content": "interactions", "changes": {"rate_c": 0.0}},
            "prompts.other.changes.rate_c = 0.0: ",
        ),
        (
            {"content": "interactions", "changes": {"rate_folds": 1}},
            "prompts.other.changes.rate_folds = 1: ",
        ),
        (
            {"content": "codes/taste", "changes": {"rows": 1}},
            "prompts.other.changes.rows is unknown; allowed in prompts.other.changes: max_titles, ",
        ),
        (
            {"content": "codes/taste", "changes": {"compress": "yes"}},
            "prompts.other.changes.compress = 'yes': expected true or false",
        ),
        (
            {"content": "interactions", "changes": {"compress": "yes"}},
            "prompts.other.changes.compress = 'yes': expected true or false",
        ),
        (
            {"content": "interactions", "changes": {"compress": True}},
            "prompts.other.changes.compress: prompts of interactions hold no codes",
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
    entry = {"content": "codes/taste", "changes": {"fields": ["codes"]}}
    changes = {"prompts.other": entry, "materialize_prompts.max_titles": -1}
    with pytest.raises(InputError, match=r"^params\.yaml: materialize_prompts\.max_titles = -1: "):
        settings_of("other", changes)


# Written prompts.

FILMS = ["Alien", "Brazil", "Casablanca", "Dune", "Alien Dune"]


def write_data(folder: Path) -> None:
    """Three users who liked the films before each row's own, codes that follow them, one untrained.

    No row has the code of its user as of now.
    """
    interactions, codes = folder / "data/interactions", folder / "data/codes/taste"
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
    of_rows = {"row": range(3 * len(FILMS) * 3), "packed": []}
    for split in SPLITS:
        rows = pd.read_parquet(interactions / f"{split}.parquet")
        of_rows["packed"] += [
            code_at(uid, len(h)) for uid, h in zip(rows.uid, rows.history, strict=True)
        ]
    write_table(pd.DataFrame(of_rows), codes / "rows.parquet", ROW_CODES)
    taught = np.arange(2 * len(FILMS) * 3)[::-1]  # train and validation rows
    table = {"row": taught, "probability": probability_of(taught)}
    write_table(pd.DataFrame(table), codes / "teacher.parquet", TEACHER)


def code_at(uid: int, likes: int) -> bytes:
    return bytes([16 * uid, 100 + likes])


def probability_of(row: np.ndarray) -> np.ndarray:
    return (row / 64).astype(np.float32)


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


SETS = {
    "text": {"content": "interactions", "changes": {"fields": ["titles"]}},
    "codes": {"content": "codes/taste"},
    "id_only": {"content": "codes/taste", "changes": {"fields": ["codes"]}},
    "rates": {"content": "interactions", "changes": {"fields": ["titles", "rates"]}},
    "taught": {"content": "codes/taste", "changes": {"fields": ["titles"]}},
}
NOISE = {"materialize_prompts.flip_bits": 0.2}  # without it the seed shapes no codes
BEFORE: dict[str, Any] = {**NOISE, **{f"prompts.{name}": entry for name, entry in SETS.items()}}
TITLED, RATED_SETS = {"text", "codes", "rates", "taught"}, {"text", "codes", "rates"}
SHAPING = [
    ({"materialize_prompts.max_titles": 2}, TITLED),
    ({"prompts.text.changes": {"fields": ["titles"], "max_tokens": 36}}, {"text"}),
    ({"prompts.codes.changes": {"max_tokens": 80}}, {"codes"}),
    ({"materialize_prompts.fields": ["codes"]}, {"codes"}),
    ({"materialize_prompts.fields": ["codes", "titles"]}, {"codes"}),
    ({"materialize_prompts.fields": ["codes", "rates", "titles"]}, set()),
    ({"materialize_prompts.rate_c": 50.0}, RATED_SETS),
    ({"materialize_prompts.rate_title_weight": 9.0}, RATED_SETS),
    ({"materialize_prompts.rate_folds": 2}, RATED_SETS),
    ({"materialize_prompts.rate_levels": 9}, {"codes", "rates"}),
    ({"materialize_prompts.untrained_codes": "word"}, {"codes", "id_only"}),
    ({"materialize_prompts.flip_bits": 0.4}, {"codes", "id_only"}),
    ({"compress": True}, {"codes", "id_only"}),
    ({"materialize_prompts.bits": "digits"}, {"codes", "id_only"}),
    ({"materialize_prompts.wording": list(OTHER_WORDING)}, set(SETS)),
    (
        {"prompts.codes.changes": {"fields": ["titles", "rates", "codes", "history_codes"]}},
        {"codes"},
    ),
    ({"seed": 2}, {*RATED_SETS, "id_only"}),
    ({"prompts.codes.changes": {"max_titles": 2}}, {"codes"}),
    ({"prompts.text.changes": {"fields": ["titles", "codes"]}}, set()),
    ({"prompts.rates.changes": {"fields": ["titles"]}}, {"rates"}),
    ({"pretrain_hash.dim": 64}, set()),
    ({"train_lora.epochs": 2}, set()),
    ({"predict.rows": None}, set()),
]


@pytest.fixture(scope="module")
def before(
    tmp_path_factory: pytest.TempPathFactory, tiny_llm_folder: Path
) -> dict[str, tuple[dict[str, Any], dict[str, pa.Table]]]:
    """Key and tables of some sets, with noise."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("before"))
        write_data(Path())
        for name in SETS:
            settings = settings_of(name, BEFORE)
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
    write_params(BEFORE | changes)
    for name, (key, tables) in before.items():
        settings = prompt_settings(name)
        assert (settings.key() != key) == (name in expected), name
        assert (written(settings, tiny_llm_folder) != tables) == (name in expected), name


def test_prompts_with_codes_have_their_train_rows_once_more_without_titles(
    before: dict[str, tuple[dict[str, Any], dict[str, pa.Table]]],
) -> None:
    text, codes = before["text"][1], before["codes"][1]
    assert list(text) == [*SPLITS, "train_titles"] and list(codes) == [*SPLITS, "train_ids"]
    for name, table in {**text, **codes}.items():
        found = {FILMS[0] in prefix for prefix in table["prefix"].to_pylist()}
        assert found == ({False} if name in ("train_ids", "train_titles") else {False, True})
    keys = ["row", "uid", "iid", "label", "teacher"]
    assert codes["train_ids"].select(keys) == codes["train"].select(keys)
    assert text["train"].select(keys[:-1]) == codes["train"].select(keys[:-1])
    for part in ("prefix", "suffix"):
        short, whole = (codes[name][part].to_pylist() for name in ("train_ids", "train"))
        assert rates_in(short) == rates_in(whole)
        assert all(" code: " in text for text in short)


def rates_in(texts: list[str]) -> list[list[str]]:
    """The lines of each text that tell a level."""
    starts = ("User kindness: ", "Item appeal: ")
    found = [[line for line in text.splitlines() if line.startswith(starts)] for text in texts]
    assert all(len(lines) == 1 for lines in found)
    return found


def test_prompts_without_codes_have_their_train_rows_once_more_without_history(
    before: dict[str, tuple[dict[str, Any], dict[str, pa.Table]]],
) -> None:
    keys = ["row", "uid", "iid", "label", "teacher"]
    for name in ("text", "rates", "taught"):
        tables = before[name][1]
        titles, whole = tables["train_titles"], tables["train"]
        assert titles.select(keys) == whole.select(keys)
        for short, row in zip(titles.to_pylist(), whole.to_pylist(), strict=True):
            levels = [it for it in whole_lines(row) if it.startswith(("User kind", "Item app"))]
            assert len(levels) == (2 if name == "rates" else 0)
            title = f'Item: "{FILMS[row["iid"] - 1]}"'
            expected = [*levels[:1], title, *levels[1:], QUESTION]
            assert whole_lines(short) == expected
            assert short["prefix"] == (levels[0] if levels else "")


def whole_lines(row: dict[str, Any]) -> list[str]:
    return (row["prefix"] + row["suffix"]).splitlines()


def test_only_train_rows_meet_noise(folder: Path, tiny_llm_folder: Path) -> None:
    write_data(folder)
    plain = written(settings_of("codes"), tiny_llm_folder)
    noisy = written(
        settings_of("codes", {"prompts.codes.changes": {"flip_bits": 0.5}}), tiny_llm_folder
    )
    changed = {name for name, table in plain.items() if noisy[name] != table}
    assert changed == {"train", "train_ids"}


@pytest.mark.parametrize("form", ["digits", "words", "dotted"])
@pytest.mark.parametrize("untrained", ["learned", "word"])
def test_a_prompt_shows_its_rows_own_code_or_the_word_for_untrained_users(
    folder: Path, tiny_llm_folder: Path, form: Form, untrained: str
) -> None:
    write_data(folder)
    key = "materialize_prompts.untrained_codes"
    as_asked = {"compress": True} if form == "dotted" else {"materialize_prompts.bits": form}
    tables = written(settings_of("codes", {key: untrained, **as_asked}), tiny_llm_folder)
    assert set(tables) == {*SPLITS, "train_ids"}
    for name, table in tables.items():
        split = "train" if name == "train_ids" else name
        rows = read_table(Path(f"data/interactions/{split}.parquet"), INTERACTIONS)
        likes = dict(
            zip(rows["row"].to_pylist(), map(len, rows["history"].to_pylist()), strict=True)
        )
        for row in table.to_pylist():
            code = WRITTEN[form](code_at(row["uid"], likes[row["row"]]))
            if untrained == "word" and row["uid"] == 2:
                code = UNKNOWN
            assert row["prefix"].splitlines()[-1] == f"User code: {code}"


def test_a_row_that_nobody_has_answered_shows_the_users_code_as_of_now() -> None:
    now, third, fourth = "00000001", "00000010", "00000100"
    of_rows = {3: third, 4: fourth}
    content = Content({1: "Alien"}, True, 10, {7: now}, {1: "11110000"}, of_rows)
    rows = {"row": [3, 4, 5, 6], "uid": [7] * 4, "iid": [1] * 4, "history": [[], [1], [1, 1], [1]]}
    found = [row.user_code for row in content.rows(pa.table(rows))]
    assert found == [third, fourth, now, now]
    noisy = content.rows(pa.table(rows), Flips(0.5, np.random.default_rng(1)))
    assert [row.user_code for row in noisy] != found
    assert {len(str(row.user_code)) for row in noisy} == {8}


def test_codes_of_other_items_are_refused(folder: Path) -> None:
    write_data(folder)
    path = folder / "data/codes/taste/items.parquet"
    write_table(read_table(path, ITEM_CODES).slice(1), path, ITEM_CODES)
    with pytest.raises(InputError, match="data/codes/taste: codes of other items than in"):
        read_content(settings_of("codes"), Path("data/interactions"))


# Like-rates, and what teaches a row.


def effects_of(train: pa.Table, folds: int = 3, c: float = 2.0) -> FoldedEffects:
    """Out-of-fold effects of rows of three users and the films."""
    sizes = {"n_users": 3, "n_items": len(FILMS)}
    return fit_out_of_fold(train, **sizes, c=c, folds=folds, rng=np.random.default_rng(7))


def test_effects_of_train_rows_are_those_of_a_fit_without_their_fold() -> None:
    train = random_rows(np.random.default_rng(1), 60)
    found = effects_of(train)
    fold = fold_of_rows(train, 3, np.random.default_rng(7))
    columns = [train[name].to_numpy() for name in ("uid", "iid", "label")]
    for number in range(3):
        rest, own = fold != number, fold == number
        fitted = fit_main_effects(
            *(column[rest] for column in columns), n_users=3, n_items=len(FILMS), c=2.0
        )
        assert found.users[own].tolist() == fitted.users[columns[0][own]].tolist()
        assert found.items[own].tolist() == fitted.items[columns[1][own]].tolist()
        assert set(found.intercepts[own].tolist()) == {fitted.intercept}


def test_rows_of_one_user_and_history_share_a_fold_and_folds_hold_alike_many_groups() -> None:
    moments = [(uid, list(range(likes))) for uid in (1, 2) for likes in range(9)] * 3
    rows = pa.table({"uid": [u for u, _ in moments], "history": [h for _, h in moments]})
    folds = fold_of_rows(rows, 4, np.random.default_rng(1))
    of_moment = folds.reshape(3, -1)
    assert (of_moment == of_moment[0]).all()
    assert sorted(np.bincount(of_moment[0], minlength=4)) == [4, 4, 5, 5]
    assert (folds != fold_of_rows(rows, 4, np.random.default_rng(2))).any()


def random_rows(rng: np.random.Generator, n: int) -> pa.Table:
    """Rows of three users in order, who liked what they liked before."""
    uids, iids = np.sort(rng.integers(1, 4, n)), rng.integers(1, len(FILMS) + 1, n)
    labels = rng.integers(0, 2, n)
    past = [
        [int(iids[i]) for i in range(place) if uids[i] == uids[place] and labels[i]]
        for place in range(n)
    ]
    columns = {"row": range(n), "uid": uids, "iid": iids, "label": labels, "history": past}
    return pa.table(columns)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("seed", range(5))
def test_a_train_rows_own_label_changes_nothing_of_its_prompt_or_of_its_items_teaching(
    seed: int,
) -> None:
    write_data(Path())
    content = read_content(settings_of("codes"), Path("data/interactions"))
    settings = settings_of("rates", BEFORE | {"materialize_prompts.rate_folds": 3})
    flips = Flips(0.0, np.random.default_rng(1))

    def prompts_of(train: pa.Table) -> tuple[list[Row], np.ndarray]:
        titles = dict(enumerate(FILMS, start=1))
        rates = train_rates(settings, dict.fromkeys(SPLITS, train), titles)
        teachers = teachers_of(settings, dict.fromkeys(SPLITS, train), rates)
        texts = texts_of(content, train, "train", flips, rates, settings.section.rate_levels)
        return texts, teachers["train"]

    train = random_rows(np.random.default_rng(seed), 40)
    texts, teacher = prompts_of(train)
    assert {(text.user_rate, text.item_rate) for text in texts} != {("5", "5")}
    touched = 0
    for place in range(len(train)):
        labels = train["label"].to_numpy().copy()
        labels[place] = 1 - labels[place]
        flipped = train.set_column(3, "label", pa.array(labels))
        other_texts, other_teacher = prompts_of(flipped)
        assert other_texts[place] == texts[place] and other_teacher[place] == teacher[place]
        touched += not np.array_equal(other_teacher, teacher)
    assert touched > len(train) // 2, "other rows' effects do count it"


def test_rates_of_validation_and_test_rows_count_all_train_rows(
    before: dict[str, tuple[dict[str, Any], dict[str, pa.Table]]],
) -> None:
    effects = effects_of_all(before["rates"][1]["train"])
    for split in ("valid", "test"):
        for row in before["rates"][1][split].to_pylist():
            of_both = np.array([effects.users[row["uid"]], effects.items[row["iid"]]])
            kind, good = levels(of_both, 27)
            assert f"User kindness: {kind}" in row["prefix"].splitlines()
            assert f"Item appeal: {good}" in row["suffix"].splitlines()


def effects_of_all(train: pa.Table) -> MainEffects:
    columns = (train[name].to_numpy() for name in ("uid", "iid", "label"))
    words = title_words(FILMS, RATES["rate_title_weight"])
    return fit_main_effects(*columns, n_users=3, n_items=len(FILMS), c=RATES["rate_c"], words=words)


def test_who_has_no_train_row_is_average(folder: Path, tiny_llm_folder: Path) -> None:
    write_data(folder)
    path = folder / "data/interactions/train.parquet"
    rows = read_table(path, INTERACTIONS).to_pandas().query("uid != 2 and iid != 3")
    write_table(rows, path, INTERACTIONS)
    for row in written(settings_of("codes"), tiny_llm_folder)["test"].to_pylist():
        assert row["uid"] != 2 or "User kindness: 5\n" in row["prefix"]
        assert row["iid"] != 3 or "Item appeal: 5\n" in row["suffix"]


def test_codes_teach_their_prompts_items_rates_the_others_and_nothing_test_rows(
    before: dict[str, tuple[dict[str, Any], dict[str, pa.Table]]],
) -> None:
    for name in ("codes", "id_only", "taught"):
        tables = before[name][1]
        for split in ("train", "valid"):
            expected = probability_of(tables[split]["row"].to_numpy())
            assert tables[split]["teacher"].to_numpy().tolist() == expected.tolist()
    train = before["text"][1]["train"].to_pandas()
    effects = effects_of_all(before["text"][1]["train"])
    for name, of_user in (("text", 0), ("rates", 1)):
        for row in before[name][1]["valid"].to_pylist():
            user = of_user * effects.users[row["uid"]]
            likely = expit(effects.intercept + user + effects.items[row["iid"]])
            assert row["teacher"] == pytest.approx(likely)
    assert train.groupby("iid")["teacher"].nunique().max() > 1, "out of fold"
    for name in SETS:
        assert set(before[name][1]["test"]["teacher"].to_pylist()) == {0.5}


@pytest.mark.parametrize("missing", ["row", "probability"])
def test_codes_that_teach_not_all_rows_are_refused(
    folder: Path, tiny_llm_folder: Path, missing: str
) -> None:
    write_data(folder)
    path = Path("data/codes/taste/teacher.parquet")
    table = read_table(path, TEACHER).to_pandas()
    if missing == "row":
        table = table[table["row"] != 17]
    else:
        table.loc[table["row"] == 17, "probability"] = 1.5
    write_table(table, path, TEACHER)
    with pytest.raises(InputError) as caught:
        written(settings_of("codes"), tiny_llm_folder)
    expected = f"{path}: row 17 has no probability from 0 to 1, expected one for each train and va"
    assert str(caught.value).startswith(expected) and "\n" not in str(caught.value)


def test_rows_without_a_prefix_are_drawn_one_by_one(
    folder: Path, before: dict[str, tuple[dict[str, Any], dict[str, pa.Table]]]
) -> None:
    path = folder / "train.parquet"
    for name, table, most in (
        ("text", "train_titles", 1),
        ("id_only", "train", TRAINING_GROUP_ROWS),
    ):
        write_table(before[name][1][table], path, PROMPTS)
        for seed in range(5):
            drawn = sample_groups(path, 7, "prefix", np.random.default_rng(seed))
            assert 7 <= drawn.sum() < 7 + most
            rows = read_prompts(path, drawn)
            assert len(rows.prompts) == len(rows.teacher) == drawn.sum()
    assert sample_groups(path, None, "prefix", np.random.default_rng(1)).all()
