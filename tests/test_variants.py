"""Variants of BinLLM: what trains each adapter, by the entries of `variants` in params.yaml."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages.io.errors import InputError
from stages.io.params import load_section
from stages.io.seeds import derived_seed
from stages.io.tables import PROMPTS, write_table
from stages.llm.params import TrainLora
from stages.llm.steps import train_step
from stages.llm.tune import LabelledPrompts
from stages.llm.variants import TrainingSettings, training_settings
from stages.measures import papers_rows
from stages.prompts.settings import prompt_settings
from tests.changed_params import ROOT, write_params

STEP_1 = Path("models/adapters/text")
# Step 1 begins on candidates' titles alone, step 2 on prompts without titles.
OF_TITLES = {"train_titles": 4000, "train": 300}
BOTH_PHASES = {"train_ids": 1800, "train": 500}
SHOWN = ("rates", "id_only", "intuitive", "compressed")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_shown_entries() -> None:
    """Writes the project's params with all entries that it shows in comments, as they stand."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    shown = re.compile(r"^  # (\w+: \{.*\})$", flags=re.MULTILINE)
    assert {*SHOWN, "wide"} <= {entry.partition(":")[0] for entry in shown.findall(text)}
    Path("params.yaml").write_text(shown.sub(r"  \1", text), encoding="utf-8")


def settings_of(name: str, changes: dict[str, Any] | None = None) -> TrainingSettings:
    """What trains a variant in the project's params, some of their keys changed."""
    write_params(changes or {})
    return training_settings(name)


def test_step_1_trains_a_new_adapter_on_titles_alone() -> None:
    text = settings_of("text")
    assert (text.prompts, text.has_codes, text.start) == ("text", False, None)
    assert text.shown == ("titles",)
    assert text.phases() == OF_TITLES
    assert text.seed == derived_seed(1, "train_lora text")


def test_step_2_goes_on_from_step_1_on_prompts_with_codes() -> None:
    codes = settings_of("codes")
    assert (codes.prompts, codes.has_codes, codes.start) == ("codes", True, STEP_1)
    assert codes.shown == ("titles", "rates", "codes")
    assert codes.phases() == BOTH_PHASES
    assert codes.seed == derived_seed(1, "train_lora codes")


def test_both_steps_are_trained_as_the_section_says_but_for_step_1s_larger_steps() -> None:
    text, codes = settings_of("text"), training_settings("codes")
    assert codes.section == load_section(TrainLora, "train_lora")
    larger = {"batch_rows": 12, "learning_rate": 1.4e-3}
    assert text.section == codes.section.model_copy(update=larger)


def test_rates_without_codes_train_on_step_1s_rows_and_go_on_from_it() -> None:
    write_shown_entries()
    rates, text = training_settings("rates"), training_settings("text")
    assert (rates.prompts, rates.has_codes, rates.start) == ("rates", False, STEP_1)
    assert rates.shown == ("titles", "rates")
    assert rates.phases() == text.phases() == OF_TITLES
    assert rates.seed == text.seed
    assert rates.section == training_settings("codes").section


@pytest.mark.parametrize(
    ("fields", "phases"),
    [
        (["titles"], OF_TITLES),
        (["titles", "rates"], OF_TITLES),
        (["rates"], {"train": 300}),
        (["codes"], BOTH_PHASES),
        (["rates", "codes"], BOTH_PHASES),
    ],
)
def test_the_first_phase_goes_by_what_the_prompts_show(
    fields: list[str], phases: dict[str, int]
) -> None:
    assert settings_of("codes", {"materialize_prompts.fields": fields}).phases() == phases


@pytest.mark.parametrize(
    ("name", "prompts", "start"),
    [
        ("id_only", "id_only", None),
        ("intuitive", "codes", None),
        ("compressed", "compressed", STEP_1),
    ],
)
def test_the_papers_further_variants_train_as_binllm_does_but_for_one_thing(
    name: str, prompts: str, start: Path | None
) -> None:
    write_shown_entries()
    found, codes = training_settings(name), training_settings("codes")
    assert (found.prompts, found.has_codes, found.start) == (prompts, True, start)
    assert found.section == codes.section
    assert found.phases() == codes.phases() == BOTH_PHASES
    assert found.seed == codes.seed, "the same rows in the same order"


def test_the_papers_further_variants_have_the_prompts_that_they_are_called_by() -> None:
    write_shown_entries()
    codes = prompt_settings("codes").key()
    untitled = {name: value for name, value in codes.items() if name != "max_titles"}
    assert prompt_settings("id_only").key() == untitled | {"fields": ["rates", "codes"]}
    rated = {"fields": ["titles", "rates"], "rate_levels": codes["rate_levels"]}
    assert prompt_settings("rates").key() == prompt_settings("text").key() | rated
    assert prompt_settings("compressed").key() == codes | {"form": "dotted"}


def test_without_rows_for_codes_alone_step_2_is_the_papers() -> None:
    rows = {"titles_first": 0, "text": 40, "ids_first": 0, "codes": None}
    assert settings_of("codes", {"train_lora.train_rows": rows}).phases() == {"train": None}
    assert training_settings("text").phases() == {"train": 40}


def test_intuitive_tuning_starts_every_variant_from_the_llm() -> None:
    assert settings_of("codes", {"train_lora.tuning": "intuitive"}).start is None
    entry = {"prompts": "codes", "start": "adapters/text", "changes": {"tuning": "intuitive"}}
    assert settings_of("scratch", {"variants.scratch": entry}).start is None
    assert training_settings("codes").start == STEP_1


def test_what_an_entry_changes_overrides_the_section_parts_within_parts() -> None:
    changes = {"learning_rate": 0.25, "lora": {"rank": 3}, "train_rows": {"codes": None}}
    entry = {"prompts": "codes", "start": "llm", "changes": changes}
    found, codes = settings_of("other", {"variants.other": entry}), training_settings("codes")
    assert found.section.learning_rate == 0.25
    assert found.section.lora == codes.section.lora.model_copy(update={"rank": 3})
    assert found.phases() == {"train_ids": 1800, "train": None}
    unchanged = {"learning_rate", "lora", "train_rows"}
    assert found.section.model_dump(exclude=unchanged) == codes.section.model_dump(
        exclude=unchanged
    )


def test_a_variant_may_go_on_from_any_other() -> None:
    entry = {"prompts": "text", "start": "adapters/codes"}
    third = settings_of("third", {"variants.third": entry})
    assert third.start == Path("models/adapters/codes")
    assert third.phases() == OF_TITLES, "as prompts without codes have no others"
    assert third.seed == training_settings("text").seed


# A variant of one phase has no order.
ONE_PHASE = {"prompts": "text", "start": "llm", "changes": {"train_rows": {"titles_first": 0}}}
FURTHER: dict[str, Any] = {
    "variants.intuitive": {"prompts": "codes", "start": "llm"},
    "variants.whole": ONE_PHASE,
}
ALL = {"text", "codes", "intuitive", "whole"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The keys of some variants in the project's params."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("keys"))
        write_params(FURTHER)
        return {name: training_settings(name).key() for name in ALL}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train_lora.learning_rate": 1.0}, ALL - {"text"}),  # which has its own
        ({"train_lora.batch_rows": 1}, ALL - {"text"}),
        ({"train_lora.weight_decay": 1.0}, ALL),
        ({"variants.text.changes": {"learning_rate": 1.0}}, {"text"}),
        ({"train_lora.score": "yes_logit"}, ALL),
        ({"train_lora.valid_rows": None}, ALL),
        ({"train_lora.labels": "mix"}, ALL),
        ({"seed": 2}, ALL),
        ({"train_lora.lora.rank": 4}, ALL - {"codes"}),  # step 2 takes the adapter as it is
        ({"train_lora.order": "phased"}, {"text", "codes", "intuitive"}),
        ({"train_lora.train_rows.titles_first": 40}, {"text"}),
        ({"train_lora.train_rows.text": 40}, {"text", "whole"}),
        ({"train_lora.train_rows.ids_first": 40}, {"codes", "intuitive"}),
        ({"train_lora.train_rows.codes": 40}, {"codes", "intuitive"}),
        ({"train_lora.tuning": "intuitive"}, {"codes"}),
        ({"variants.codes.changes": {"epochs": 2}}, {"codes"}),
        ({"variants.codes.prompts": "text"}, {"codes"}),
        ({"materialize_prompts.max_titles": 3}, set()),  # the prompts' own stage
        ({"materialize_prompts.fields": ["codes"]}, set()),
        ({"materialize_prompts.fields": ["titles"]}, {"codes", "intuitive"}),  # as step 1, then
        ({"compress": True}, set()),
        ({"predict.rows": None}, set()),
    ],
)
def test_the_key_of_a_variant_holds_what_shapes_its_adapter_and_nothing_else(
    keys: dict[str, Any], changes: dict[str, Any], expected: set[str]
) -> None:
    write_params(FURTHER | changes)
    changed = {name for name, key in keys.items() if training_settings(name).key() != key}
    assert changed == expected


# The rows that a variant is trained on.

SIZES = {"train": 24, "train_ids": 16, "train_titles": 16, "valid": 8}


def write_prompt_tables(folder: Path) -> None:
    """Tables of users with two rows each; those of candidates alone have no prefix."""
    for name, n in SIZES.items():
        table = {
            "row": np.arange(n),
            "uid": np.arange(n) // 2 + 1,
            "iid": 1,
            "label": np.arange(n) % 2,
            "teacher": np.arange(n) / n,
            "prefix": [f"{name} {row // 2}" if name != "train_titles" else "" for row in range(n)],
            "suffix": [f"\n{name} {row}" for row in range(n)],
            "n_tokens": 9,
        }
        write_table(pd.DataFrame(table), folder / f"{name}.parquet", PROMPTS)


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[LabelledPrompts]]:
    """What `train_step` hands over to be trained on, in phases."""
    write_prompt_tables(Path("prompts"))
    handed: list[list[LabelledPrompts]] = []
    monkeypatch.setattr(
        "stages.llm.steps.tune", lambda llm, train, valid, **_: handed.append([*train, valid])
    )

    def phases(name: str, changes: dict[str, Any]) -> list[LabelledPrompts]:
        rows = {"titles_first": 6, "text": 8, "ids_first": 6, "codes": 8}
        settings = settings_of(name, {"train_lora.train_rows": rows} | changes)
        train_step(None, settings, Path("prompts"), scratch=Path("s"), title="t")  # type: ignore[arg-type]
        *train, valid = handed.pop()
        assert (valid.targets == valid.labels).all()
        return train

    return phases


@pytest.mark.parametrize(("name", "short"), [("text", "train_titles"), ("codes", "train_ids")])
@pytest.mark.parametrize("order", ["mixed", "phased"])
def test_short_rows_come_first_or_mixed_with_whole_ones(
    trained_on: Callable[..., list[LabelledPrompts]], name: str, short: str, order: str
) -> None:
    train = trained_on(name, {"train_lora.order": order, f"variants.{name}.changes": {}})
    assert all(len(phase.prompts) == len(phase.prefixes or []) for phase in train)
    found = [Counter(prompt.split()[-2] for prompt in phase.prompts) for phase in train]
    mixed, phased = [{short: 6, "train": 8}], [{short: 6}, {"train": 8}]
    assert found == (mixed if order == "mixed" else phased)


@pytest.mark.parametrize("order", ["mixed", "phased"])
def test_targets_are_labels_the_teachers_or_their_mean_and_labels_stay(
    trained_on: Callable[..., list[LabelledPrompts]], order: str
) -> None:
    found = {
        labels: trained_on("codes", {"train_lora.order": order, "train_lora.labels": labels})
        for labels in ("hard", "teacher", "mix")
    }
    for hard, teacher, mix in zip(*found.values(), strict=True):
        assert hard.prompts == teacher.prompts == mix.prompts
        tables, numbers = zip(*(prompt.split()[-2:] for prompt in hard.prompts), strict=True)
        rows, sizes = [int(number) for number in numbers], [SIZES[table] for table in tables]
        for part in (hard, teacher, mix):
            assert part.labels.tolist() == [row % 2 for row in rows]
            assert part.targets.dtype == np.float32
        assert (hard.targets == hard.labels).all()
        np.testing.assert_allclose(teacher.targets, np.divide(rows, sizes), rtol=1e-6)
        np.testing.assert_allclose(mix.targets, (hard.targets + teacher.targets) / 2)


def test_a_variants_own_seed_is_the_root_of_its_training_alone() -> None:
    again = {"prompts": "codes", "start": "adapters/text", "seed": 2}
    write_params({"variants.again": again})
    prompts = prompt_settings("codes").key()
    found, codes = training_settings("again"), training_settings("codes")
    assert found.seed == derived_seed(2, "train_lora codes")
    assert found.key() == codes.key() | {"seed": found.seed}
    assert prompt_settings(found.prompts).key() == prompts
    write_params({"seed": 2})
    assert training_settings("codes").seed == found.seed, "as a run with that root seed"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"start": "llm"}, "variants.other.prompts is missing"),
        ({"prompts": "codes"}, "variants.other.start is missing"),
        ({"prompts": "none", "start": "llm"}, "prompts has no 'none'; expected text, codes"),
        ({"prompts": "codes", "start": "text"}, "variants.other.start = 'text': "),
        ({"prompts": "codes", "start": "adapters/a b"}, "variants.other.start = 'adapters/a b': "),
        (
            {"prompts": "codes", "start": "adapters/none"},
            "variants has no 'none'; expected text, codes, other",
        ),
        (
            {"prompts": "codes", "start": "llm", "epochs": 2},
            "variants.other.epochs is unknown; allowed in variants.other: prompts, start, "
            "changes, seed",
        ),
        (
            {"prompts": "codes", "start": "llm", "changes": {"epochs": 0}},
            "variants.other.changes.epochs = 0: ",
        ),
        (
            {"prompts": "codes", "start": "llm", "changes": {"lora": {"rank": 0}}},
            "variants.other.changes.lora.rank = 0: ",
        ),
        (
            {"prompts": "codes", "start": "llm", "changes": {"labels": "soft"}},
            "variants.other.changes.labels = 'soft': input should be 'hard', 'teacher' or 'mix'",
        ),
        (
            {"prompts": "codes", "start": "llm", "changes": {"order": "random"}},
            "variants.other.changes.order = 'random': input should be 'mixed' or 'phased'",
        ),
        (
            {"prompts": "text", "start": "llm", "changes": {"train_rows": {"titles_first": -1}}},
            "variants.other.changes.train_rows.titles_first = -1: ",
        ),
        (
            {"prompts": "codes", "start": "llm", "changes": {"lora": 3}},
            "variants.other.changes.lora = 3: ",
        ),
        (
            {"prompts": "codes", "start": "llm", "changes": {"flip_bits": 0.1}},
            "variants.other.changes.flip_bits is unknown; allowed in variants.other.changes: ",
        ),
    ],
)
def test_a_bad_variant_is_one_line_that_names_the_key(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        settings_of("other", {"variants.other": entry})
    assert str(caught.value).startswith(f"params.yaml: {message}")
    assert "\n" not in str(caught.value)


def test_an_unknown_variant_is_one_line_that_names_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        settings_of("none")
    assert str(caught.value) == "params.yaml: variants has no 'none'; expected text, codes"


def test_a_bad_value_of_the_section_is_named_there_though_an_entry_changes_others() -> None:
    entry = {"prompts": "codes", "start": "llm", "changes": {"epochs": 2, "lora": {"rank": 2}}}
    changes = {"variants.other": entry, "train_lora.lora.alpha": 0}
    with pytest.raises(InputError, match=r"^params\.yaml: train_lora\.lora\.alpha = 0: "):
        settings_of("other", changes)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("text", "TALLRec"),
        ("codes", "BinLLM"),
        ("id_only", "BinLLM, ID-only"),
        ("intuitive", "BinLLM, intuitive tuning"),
        ("compressed", "BinLLM, compressed"),
    ],
)
def test_the_papers_variants_are_called_as_there(name: str, title: str) -> None:
    assert papers_rows.of_variant(name)[0] == title


def test_a_variant_of_ones_own_is_called_by_its_name_and_has_no_figures_of_the_paper() -> None:
    assert papers_rows.of_variant("small_rank") == ("BinLLM, small rank", {})
    assert papers_rows.of_variant("codes")[1]["ml-1m"] == (0.7425, 0.6956)
