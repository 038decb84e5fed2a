"""Title kNN: what is alike, and the stage run for real on planted interactions."""

# ruff: noqa: F811  (fixtures of another file are named by the tests that ask for them)

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_compare import (
    N_ITEMS,
    N_USERS,
    assert_refused,
    auc_of,
    history_rows,
    link,
    predictions,
    uauc_of,
    write_settings,
)
from test_compare_ctrl import interactions, project  # noqa: F401

from stages.collab.interactions import read_interactions
from stages.compare import main
from stages.io.params import load_section
from stages.llm.encoding import encode
from stages.llm.title_vectors import title_vectors
from stages.methods import title_bias, title_knn
from stages.methods.title_knn import likeness

QUICK: dict[str, Any] = {"encoder": "encoder", "weight": 2.0, "history": 8}


def run(*, seed: int = 1, **changes: Any) -> dict[str, Any]:
    """Runs the stage for title kNN; returns what it knows of the row."""
    write_settings({"title_knn": {**QUICK, **changes}}, seed=seed)
    main("title_knn")
    return json.loads(Path("metrics/rows/title_knn.json").read_text(encoding="utf-8"))


# What is alike.


def test_likeness_is_the_sum_of_cosines_by_the_root_of_the_likes() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(8, 5), dim=-1)
    vectors[0] = 0
    rows = history_rows([[0, 3, 4], [0, 0, 0], [5, 6, 7]], items=2)
    cosine = (vectors @ vectors[2]).numpy()
    expected = [
        (cosine[3] + cosine[4]) / 2**0.5,
        0.0,
        (cosine[5] + cosine[6] + cosine[7]) / 3**0.5,
    ]
    np.testing.assert_allclose(likeness(vectors, rows), expected, rtol=1e-5, atol=1e-7)
    assert likeness(vectors, rows.take(slice(0, 0))).shape == (0,)


def test_titles_of_one_theme_are_alike_and_others_are_not(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    titles = ["Star Wars (1977)", "Star Trek: First Contact (1996)", "Sense and Sensibility (1995)"]
    vectors = title_vectors(titles, str(encoder_folder), named="key")
    assert not vectors[0].any()
    torch.testing.assert_close(vectors[1:].norm(dim=-1), torch.ones(3))
    alike = vectors @ vectors.T
    assert alike[1, 2] > max(alike[1, 3], alike[2, 3])


@pytest.mark.parametrize("items", [1, 3, 4, 7, 33])
def test_one_title_for_all_tells_nothing(
    small_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: int
) -> None:
    monkeypatch.chdir(tmp_path)
    vectors = title_vectors(["A title"] * items, str(small_encoder), named="key")
    assert vectors.abs().max() < 1e-2


def test_titles_and_rows_that_were_encoded_are_kept_side_by_side(
    small_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    title_vectors(["Heat (1995)", "Antz (1998)"], str(small_encoder), named="key")
    kept = sorted(tmp_path.glob(".scratch/encode-titles-*/*.npy"))
    encode(["Item: Heat"], small_encoder, job="rows", max_tokens=32, precision="float32")
    assert kept and sorted(tmp_path.glob(".scratch/encode-titles-*/*.npy")) == kept


# The stage.


def test_planted_tastes_are_found_by_titles_and_not_without_their_weight(project: Path) -> None:
    facts = run()
    assert auc_of("title_knn") > 0.7 and uauc_of("title_knn") > 0.7
    assert facts["valid_auc"] > 0.7
    run(weight=0)
    assert 0.43 < uauc_of("title_knn") < 0.57


def test_tastes_of_new_users_are_read_from_histories(
    interactions: dict[str, Path],
    project: Path,
) -> None:
    link(interactions["moods"])
    run()
    assert auc_of("title_knn") > 0.65


def test_without_weight_it_is_title_bias(project: Path) -> None:
    facts = run(weight=0)
    data = read_interactions(Path("data/interactions"))
    settings = load_section(title_knn.Settings, "compare.title_knn")
    shared = settings.model_dump(include={"c", "title_weight", "popularity"})
    own = title_bias.Settings(**shared)
    bias = title_bias.fit(data, own, 1)
    found = predictions("title_knn")["score"].to_numpy()
    assert found.tolist() == bias.score(data.rows["test"]).tolist()
    assert facts["parameters"] == bias.parameters
    assert facts["valid_auc"] == bias.valid_auc


def test_vectors_of_titles_are_handed_on_and_users_have_none(project: Path) -> None:
    run()
    tensors = load_file("models/compare/title_knn.safetensors")
    assert {name: tuple(value.shape) for name, value in tensors.items()} == {
        "items": (N_ITEMS + 1, 384)
    }
    assert predictions("title_knn")["uid"].max() <= N_USERS


def test_nothing_is_drawn(project: Path) -> None:
    names = [f"{name}.parquet" for name in ("data/predictions/title_knn", "data/repeats/title_knn")]
    contents = []
    for seed in (1, 2):
        run(seed=seed)
        contents.append([Path(name).read_bytes() for name in names])
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("key", "value"),
    [("weight", -1), ("weight", 1e39), ("history", 0), ("encoder", ""), ("neighbours", 5)],
)
def test_a_bad_value_ends_in_one_line_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], key: str, value: Any
) -> None:
    write_settings({"title_knn": {**QUICK, key: value}})
    assert_refused(capsys, "title_knn", f"compare.title_knn.{key}")
