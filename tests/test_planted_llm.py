"""BinLLM itself, by the LLM's first layers, on planted tastes that nothing but codes can tell."""

from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from stages import export_codes
from stages.collab.interactions import read_interactions
from stages.llm.fetching.write import write_llm
from stages.llm.score import score_prompts
from stages.llm.scoring_run import trained_llm
from stages.llm.steps import starting_point, train_step, write_adapter
from stages.llm.variants import training_settings
from stages.methods import bias
from stages.prompts.rows import read_prompts
from stages.prompts.settings import prompt_settings
from stages.prompts.write import write_prompts
from tests.test_taste import run, write_tastes

LAYERS, TRAIN_ROWS = 8, 600


def llm_of(layers: int, whole: Path, folder: Path) -> Path:
    """Keeps the first layers: the whole LLM takes ten minutes, to the same end."""
    write_llm(source=str(whole), revision=None, layers=layers, folder=folder, downloads=folder)
    return folder


@pytest.mark.slow
def test_binllm_finds_tastes_that_main_effects_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llm_folder: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    interactions = tmp_path / "data/interactions"
    write_tastes(interactions)
    codes = run({"dim": 8})
    export_codes.main("taste")
    data = read_interactions(interactions)
    effects = bias.fit(data, bias.Settings(c=2.0), seed=1)
    test = data.rows["test"]
    assert roc_auc_score(test.labels, effects.score(test)) <= 0.55

    llm_folder = llm_of(LAYERS, llm_folder, tmp_path / "llm")
    prompts = prompt_settings("codes")
    section = prompts.section.model_copy(update={"fields": ["rates", "codes"]})
    prompts = replace(prompts, section=section)
    folder, adapter = tmp_path / "prompts", tmp_path / "adapter"
    write_prompts(prompts, folder, interactions=interactions, llm=llm_folder, title="planted")
    training = training_settings("codes")
    rows = training.section.train_rows.model_copy(update={"ids_first": 0, "codes": TRAIN_ROWS})
    changes = {"train_rows": rows, "batch_rows": 6, "learning_rate": 2e-3, "valid_rows": 200}
    training = replace(
        training,
        start=None,
        shown=prompts.shown,
        section=training.section.model_copy(update=changes),
    )
    llm = starting_point(training, llm_folder)
    tuned = train_step(llm, training, folder, scratch=tmp_path / "scratch", title="planted")
    write_adapter(llm, tuned, training.section.score, adapter)
    trained, score = trained_llm(llm_folder, adapter, training.section.precision)
    asked = read_prompts(folder / "test.parquet")
    scores = score_prompts(trained, asked.prompts, prefixes=asked.prefixes, score=score)
    found = roc_auc_score(asked.labels, scores)
    assert found >= 0.8
    assert found >= codes["test"]["auc"] - 0.03, "the LLM keeps what its codes know"
