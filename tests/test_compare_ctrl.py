"""CTRL (DIN): texts, alignment, and the stage run for real on planted interactions."""

import io
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from test_compare import (
    N_ITEMS,
    N_USERS,
    assert_refused,
    auc_of,
    din,
    history_rows,
    link,
    predictions,
    rng,
    uauc_of,
    write_interactions,
    write_settings,
)

from stages.collab.alignment import Subspaces, align, contrastive_loss
from stages.collab.fitting import Rows
from stages.collab.interactions import read_interactions
from stages.collab.vector_file import read_vectors
from stages.compare import main
from stages.io.errors import InputError
from stages.io.params import load_section
from stages.io.scratch import keep
from stages.io.tables import INTERACTIONS, ITEMS, write_table
from stages.llm import encoding
from stages.llm.encoding import encode
from stages.methods import ctrl
from stages.methods.ctrl import row_texts
from tests.changed_params import ROOT

# What an item's title says of its group.
THEMES = ("Space Battle", "Wedding in Paris", "Murder of a Banker", "The Little Puppy")
QUICK: dict[str, dict[str, Any]] = {
    "texts": {"rows": 500, "titles": 4, "max_tokens": 64, "precision": "float32"},
    "alignment": {"lr": 0.01, "batch_size": 64, "epochs": 4},
    "din": {"dim": 8, "history": 8, "lr": 0.01, "batch_size": 128, "dropout": 0.2, "epochs": 12},
}
ALIGNMENT = {"subspaces": 2, "width": 8, "temperature": 0.2, "weight_decay": 0.0}


# Texts.


def test_a_text_names_the_candidate_and_the_liked_titles_latest_first() -> None:
    titles = [f"T{item}" for item in range(1, 8)]
    rows = history_rows([[0, 3, 4], [0, 0, 0], [5, 6, 7]], items=2)
    assert row_texts(rows, titles, most=2) == [
        "Item: T2. Liked before, latest first: T4; T3",
        "Item: T2. Liked before, latest first: nothing",
        "Item: T2. Liked before, latest first: T7; T6",
    ]


def encoded(small_encoder: Path, given: Sequence[str], max_tokens: int = 32) -> torch.Tensor:
    return encode(given, small_encoder, job="rows", max_tokens=max_tokens, precision="float32")


def test_a_text_is_encoded_as_it_would_be_alone(
    small_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["Heat (1995)", "A much longer title than that; Heat (1995)", "x", "Heat (1995)"]
    together = encoded(small_encoder, given)
    alone = torch.cat([encoded(small_encoder, [text]) for text in given])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(4))
    assert torch.equal(together[0], together[3])
    assert (together[0] - together[1]).abs().max() > 1e-2


def test_a_text_that_is_too_long_loses_its_end(
    small_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    start = "one two three four five six"
    vectors = encoded(small_encoder, [start + " seven", start + " eight nine"], max_tokens=8)
    torch.testing.assert_close(vectors[0], vectors[1])


def test_a_cut_encoding_goes_on_where_it_stopped(
    small_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(encoding, "_KEPT_AT_ONCE", 2)
    given = ["aaaaa", "bbbb", "ccc", "dd", "e"]
    whole = encoded(small_encoder, given)
    first, _, last = sorted(tmp_path.glob(".scratch/encode-rows-*/*.npy"))
    last.unlink()
    content = io.BytesIO()
    np.save(content, np.zeros((2, whole.shape[1]), dtype=np.float32))  # tells that it is read
    keep(content.getbuffer(), first)
    resumed = encoded(small_encoder, given)
    assert not resumed[:2].any()
    assert torch.equal(resumed[2:], whole[2:])
    assert not torch.equal(encoded(small_encoder, [*given, "f"])[:2], resumed[:2])


def test_an_encoder_for_shorter_texts_is_refused(small_encoder: Path) -> None:
    with pytest.raises(InputError, match=r"reads 512 tokens, expected .*max_tokens \(513\)"):
        encoded(small_encoder, ["x"], max_tokens=513)


# Alignment.


def similarity_by_loops(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Sum over one side's parts of the greatest cosine with a part of the other's."""
    total = 0.0
    for one in ours:
        products = [
            sum(a * b for a, b in zip(one, other, strict=True))
            / (math.hypot(*one) * math.hypot(*other))
            for other in theirs
        ]
        total += max(products)
    return total


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6), st.integers(0, 10_000))
@settings(max_examples=30)
def test_similarities_and_loss_are_those_of_plain_loops(
    n: int, subspaces: int, dim: int, seed: int
) -> None:
    compare = Subspaces(7, 5, subspaces=subspaces, dim=dim, rng=rng(seed))
    given, rows = torch.randn(n, 7, generator=rng(seed)), torch.randn(n, 5, generator=rng(seed + 1))
    found = compare(given, rows).detach()
    ours = compare.texts(given).detach().double().numpy().reshape(n, subspaces, dim)
    theirs = compare.collaborative(rows).detach().double().numpy().reshape(n, subspaces, dim)
    expected = np.array([[similarity_by_loops(one, other) for other in theirs] for one in ours])
    np.testing.assert_allclose(found, expected, atol=1e-4)

    temperature, losses = 0.3, []
    for k in range(n):
        scaled = expected / temperature
        losses.append(math.log(sum(math.exp(scaled[k, j]) for j in range(n))) - scaled[k, k])
        losses.append(math.log(sum(math.exp(scaled[j, k]) for j in range(n))) - scaled[k, k])
    loss = contrastive_loss(found, temperature).item()
    assert loss == pytest.approx(sum(losses) / len(losses), abs=2e-3)


def planted_pairs() -> tuple[Rows, torch.Tensor]:
    """Rows, and texts' vectors that tell candidate and latest liked item."""
    draw = np.random.default_rng(3)
    histories = draw.integers(1, 10, (400, 3))
    items = draw.integers(1, 10, 400)
    rows = history_rows(histories.tolist())
    rows = type(rows)(torch.ones(400).long(), torch.from_numpy(items), rows.labels, rows.histories)
    vectors = torch.randn(2, 10, 12, generator=rng(5))
    return rows, vectors[0, rows.items] + vectors[1, rows.histories[:, -1].long()]


def test_alignment_brings_rows_nearer_to_their_own_texts_than_to_others() -> None:
    rows, vectors = planted_pairs()
    held = slice(320, 400)
    model = din()
    compare = align(
        model, rows.take(slice(0, 320)), vectors[:320],
        lr=0.01, batch_size=64, epochs=20, rng=rng(), **ALIGNMENT,
    )  # fmt: skip
    with torch.no_grad():
        found = compare(vectors[held], model.eval().representations(rows.take(held)))
    own = found.diagonal()
    others = found[~torch.eye(len(found), dtype=torch.bool)]
    assert own.mean() > others.mean() + 0.5
    assert (found > own[:, None]).float().mean() < 0.1  # by chance it would be a half


def test_alignment_never_looks_at_labels_and_leaves_the_scorer_as_it_was() -> None:
    rows, vectors = planted_pairs()
    flipped = type(rows)(rows.users, rows.items, 1 - rows.labels, rows.histories)
    before, states = din().scorer.state_dict(), []
    for labelled in (rows, flipped):
        model = din()
        align(model, labelled, vectors, lr=0.01, batch_size=64, epochs=1, rng=rng(), **ALIGNMENT)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert all(torch.equal(value, states[0][f"scorer.{name}"]) for name, value in before.items())
    assert not torch.equal(din().items, states[0]["items"])


def test_a_loss_that_is_not_finite_ends_in_one_line() -> None:
    rows, vectors = planted_pairs()
    vectors[3] = float("nan")
    with pytest.raises(InputError, match="ctrl alignment: loss is nan"):
        align(din(), rows, vectors, lr=0.01, batch_size=64, epochs=1, rng=rng(), **ALIGNMENT)


# The stage.


@pytest.fixture(scope="module")
def interactions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Planted interactions whose titles tell the items' groups."""
    folders = {}
    for kind in ("users", "moods", "shuffled"):
        folders[kind] = tmp_path_factory.mktemp(kind)
        write_interactions(folders[kind] / "data/interactions", kind)
        path = folders[kind] / "data/interactions/items.parquet"
        items = pd.read_parquet(path)
        items["title"] = [f"{THEMES[iid % len(THEMES)]} {iid}" for iid in items["iid"]]
        write_table(items, path, ITEMS)
    return folders


@pytest.fixture
def project(
    interactions: dict[str, Path],
    small_encoder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A working folder with planted interactions of the kind `users`, and an encoder."""
    monkeypatch.chdir(tmp_path)
    link(interactions["users"])
    Path("encoder").symlink_to(small_encoder)
    return tmp_path


def write_ctrl(changes: dict[str, Any], *, seed: int = 1, seeds: int = 1) -> None:
    """Writes the project's params with some keys of CTRL changed, parts within parts."""
    own = load_section(ctrl.Settings, "compare.ctrl", ROOT / "params.yaml").model_dump()
    parts = {
        part: {**own[part], **value} if isinstance(value, dict) else value
        for part, value in changes.items()
    }
    write_settings({"ctrl": {"encoder": "encoder", **parts}}, seed=seed, seeds=seeds)


def run(*, seed: int = 1, seeds: int = 1, epochs: int | None = None) -> dict[str, Any]:
    """Runs the stage for CTRL; returns what it knows of the row."""
    changes = {**QUICK, "din": {**QUICK["din"], **({"epochs": epochs} if epochs else {})}}
    write_ctrl(changes, seed=seed, seeds=seeds)
    main("ctrl")
    return json.loads(Path("metrics/rows/ctrl.json").read_text(encoding="utf-8"))


def test_planted_tastes_are_learned(project: Path) -> None:
    facts = run()
    assert auc_of("ctrl") > 0.75
    assert uauc_of("ctrl") > 0.75
    assert facts["valid_auc"] > 0.75
    found, rows = predictions("ctrl"), pd.read_parquet("data/interactions/test.parquet")
    for name in ("row", "uid", "iid", "label"):
        assert found[name].tolist() == rows[name].tolist()


def test_tastes_of_new_users_are_read_from_histories_alone(
    interactions: dict[str, Path], project: Path
) -> None:
    link(interactions["moods"])
    run()
    assert auc_of("ctrl") > 0.65


def test_shuffled_labels_teach_nothing(interactions: dict[str, Path], project: Path) -> None:
    link(interactions["shuffled"])
    run()
    assert 0.43 < auc_of("ctrl") < 0.57


def test_what_is_written_is_what_the_methods_own_file_fits(project: Path) -> None:
    facts = run(epochs=2)
    own = load_section(ctrl.Settings, "compare.ctrl")
    assert ctrl.METHOD.history(own) == QUICK["din"]["history"]
    data = read_interactions(Path("data/interactions"), history=ctrl.METHOD.history(own))
    fitted = ctrl.METHOD.fit(data, own, 1)
    assert predictions("ctrl")["score"].tolist() == fitted.score(data.rows["test"]).tolist()
    valid = pd.read_parquet("data/interactions/valid.parquet")
    judged = roc_auc_score(valid["label"], fitted.score(data.rows["valid"]))
    assert facts["valid_auc"] == fitted.valid_auc == pytest.approx(judged)
    path = Path("models/compare/ctrl.safetensors")
    users, items = read_vectors(path, n_users=N_USERS, n_items=N_ITEMS)
    assert torch.equal(users, fitted.tensors["users"])
    assert torch.equal(items, fitted.tensors["items"])


def test_din_alone_is_what_scores(project: Path) -> None:
    vectors = (N_USERS + 1 + N_ITEMS + 1) * 8
    attention = (32 * 32 + 32) + 32 + (32 + 1)
    scorer = (24 * 64 + 64) + 64 + (64 * 32 + 32) + 32 + (32 + 1)
    assert run(epochs=1)["parameters"] == vectors + attention + scorer


def test_one_seed_gives_one_set_of_bytes_and_another_seed_other_scores(project: Path) -> None:
    outputs = [project / "data/predictions/ctrl.parquet", project / "metrics/rows/ctrl.json"]
    outputs.append(project / "models/compare/ctrl.safetensors")
    before = torch.random.get_rng_state()
    contents = []
    for seed in (1, 1, 2):
        shutil.rmtree(".scratch", ignore_errors=True)
        run(seed=seed, epochs=2)
        contents.append([path.read_bytes() for path in outputs])
    assert contents[0] == contents[1]
    assert contents[0][0] != contents[2][0]
    assert torch.equal(before, torch.random.get_rng_state())


def test_further_seeds_are_what_runs_with_those_seeds_find(project: Path) -> None:
    run(seed=2, epochs=1)
    second = predictions("ctrl")["score"].tolist()
    run(seeds=2, epochs=1)
    further = pd.read_parquet("data/repeats/ctrl.parquet")
    assert further["seed"].tolist() == [2] * 1200
    assert further["score"].tolist() == second != predictions("ctrl")["score"].tolist()


def test_what_the_test_rows_hold_changes_nothing_that_is_learned(project: Path) -> None:
    before = run(epochs=2)
    assert len(predictions("ctrl")) == 1200
    path = Path("data/interactions/test.parquet")
    write_table(pd.read_parquet(path).iloc[:200], path, INTERACTIONS)
    assert run(epochs=2) == before
    assert len(predictions("ctrl")) == 200


# Bad input.

BAD = [
    ("texts", "rows", 1),
    ("texts", "titles", -1),
    ("texts", "max_tokens", 0),
    ("texts", "precision", "int8"),
    ("alignment", "subspaces", 0),
    ("alignment", "width", 0),
    ("alignment", "temperature", 0),
    ("alignment", "lr", float("inf")),
    ("alignment", "weight_decay", -1),
    ("alignment", "batch_size", 1),
    ("alignment", "epochs", 0),
    ("alignment", "layers", 2),
    ("din", "history", 0),
    ("din", "hidden", []),
]


@pytest.mark.parametrize(("part", "key", "value"), BAD)
def test_a_bad_value_ends_in_one_line_and_writes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    part: str,
    key: str,
    value: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_ctrl({part: {key: value}})
    assert_refused(capsys, "ctrl", f"compare.ctrl.{part}.{key}")


@pytest.mark.parametrize("encoder", ["", 3, None])
def test_an_encoder_that_is_no_name_ends_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], encoder: Any
) -> None:
    write_ctrl({"encoder": encoder})
    assert_refused(capsys, "ctrl", f"compare.ctrl.encoder = {encoder!r}: ")


def test_a_missing_encoder_ends_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_ctrl(QUICK)
    Path("encoder").unlink()
    assert_refused(
        capsys,
        "ctrl",
        "compare.ctrl.encoder = 'encoder': no such folder; "
        "expected all-minilm-l6-v2 or a local folder",
    )
