"""Several processes share the rows: the adapter and scores of one, and one line for bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

from stages.io.tables import PREDICTIONS, PROMPTS, read_table, write_table
from stages.llm.load import load_llm
from stages.llm.score import score_prompts

ROOT = Path(__file__).resolve().parent.parent
TRAIN_IN_TWO = (
    *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    *("-m", "stages.train_lora", "text"),
)
# Both in one Python, where one process does all, since each start takes longer than the work.
TRAIN_AND_SCORE = """
import runpy, sys

sys.argv = ["-m", "text"]
for stage in ("train_lora", "predict"):
    runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)
"""
FILMS = ["Alien", "Brazil", "Casablanca", "Dune", "Eraser", "Fargo"]


def prompt_table(n: int, seed: int) -> pa.Table:
    """Prompts of users with two or three candidates each; liked is every second film."""
    rng = np.random.default_rng(seed)
    films = rng.integers(0, len(FILMS), n)
    uids = np.arange(n) // 3 + 1
    return pa.table(
        {
            "row": pa.array(np.arange(n), pa.int64()),
            "uid": pa.array(uids, pa.int32()),
            "iid": pa.array(films + 1, pa.int32()),
            "label": pa.array(films % 2, pa.int8()),
            "teacher": pa.array(np.where(films % 2, 0.8, 0.2), pa.float32()),
            "prefix": [f'Items the user liked: "{FILMS[uid % 6]}"' for uid in uids],
            "suffix": [f'\nItem: "{FILMS[film]}"\nAnswer:' for film in films],
            "n_tokens": pa.array(np.full(n, 20), pa.int32()),
        }
    ).cast(PROMPTS)


def project(
    folder: Path,
    llm_folder: Path,
    processes: int,
    split: bool = False,
    precision: str = "float32",
) -> Path:
    """A working folder in which train_lora and predict can run."""
    (folder / "models").mkdir(parents=True)
    (folder / "models/llm").symlink_to(llm_folder)
    (folder / "stages").symlink_to(ROOT / "stages")
    for seed, (name, n) in enumerate({"train": 60, "valid": 60, "test": 50}.items()):
        write_table(prompt_table(n, seed), folder / f"data/prompts/text/{name}.parquet", PROMPTS)
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text())
    params["processes"] = processes
    params["split_weights"] = split
    params["train_lora"]["train_rows"]["text"] = None
    params["train_lora"]["train_rows"]["titles_first"] = 0
    params["train_lora"]["precision"] = params["predict"]["precision"] = precision
    params["train_lora"]["lora"]["rank"] = 4
    with (folder / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    return folder


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def results(folder: Path) -> tuple[dict[str, torch.Tensor], pd.DataFrame, np.ndarray]:
    weights = load_file(folder / "models/adapters/text/adapter_model.safetensors")
    curve = pd.read_csv(folder / "metrics/plots/training_text.csv")
    table = read_table(folder / "data/predictions/text.parquet", PREDICTIONS)
    return weights, curve, table["score"].to_numpy()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, tiny_llm_folder: Path) -> Path:
    """A working folder in which one process has trained and scored."""
    folder = project(tmp_path_factory.mktemp("alone") / "1", tiny_llm_folder, 1)
    done = run(folder, "-c", TRAIN_AND_SCORE)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("rows in") == 2, "each stage reports once"
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("split", [False, True])
def test_two_processes_train_the_adapter_and_give_the_scores_of_one(
    tiny_llm_folder: Path, tmp_path: Path, alone: Path, split: bool
) -> None:
    folder = project(tmp_path / "2", tiny_llm_folder, 2, split)
    for stage in ("stages.train_lora", "stages.predict"):
        done = run(folder, "-m", stage, "text")
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("rows in") == 1, "each stage reports once"
    (weights, curve, scores), (weights_two, curve_two, scores_two) = map(results, (alone, folder))
    assert len(scores) == 50
    np.testing.assert_allclose(scores_two, scores, atol=1e-4)
    assert list(curve) == ["rows", "loss", "auc"] and curve["loss"].count() > 1
    pd.testing.assert_frame_equal(curve_two, curve, atol=1e-5, rtol=1e-7)
    for name, tensor in weights.items():
        assert torch.allclose(tensor, weights_two[name], atol=1e-4), name


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_adapter_and_scores_have_the_same_bytes_with_any_number_of_threads_and_hash_seed(
    tiny_llm_folder: Path, tmp_path: Path, precision: str
) -> None:
    found = []
    for threads in ("1", "2", "3"):
        folder = project(tmp_path / threads, tiny_llm_folder, 1, precision=precision)
        variables = {"OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        done = run(folder, "-c", TRAIN_AND_SCORE, **variables)
        assert done.returncode == 0, done.stderr
        names = [
            "models/adapters/text/adapter_model.safetensors",
            "models/adapters/text/adapter_config.json",
            "metrics/plots/training_text.csv",
            "data/predictions/text.parquet",
        ]
        found.append([(folder / name).read_bytes() for name in names])
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
def test_split_weights_are_held_in_part_and_the_adapter_whole(tiny_llm_folder: Path) -> None:
    config = ("--config_file", "docs/accelerate/fsdp2.yaml")
    launcher = ("-m", "accelerate.commands.launch", *config)
    done = run(ROOT, *launcher, "-m", "tests.split_probe", str(tiny_llm_folder))
    assert done.returncode == 0, done.stderr
    held = json.loads(done.stdout)
    layers = {name: counts for name, counts in held.items() if ".layers." in name}
    frozen = {name: counts for name, counts in layers.items() if "lora_" not in name}
    assert frozen and len(layers) > len(frozen)
    assert all(here <= -(-of // 2) for here, of in frozen.values())
    assert all(here == of for name, (here, of) in held.items() if name not in frozen)


@pytest.mark.slow
def test_deepspeed_is_refused_with_what_does_the_same(
    tiny_llm_folder: Path, tmp_path: Path
) -> None:
    folder = project(tmp_path / "deepspeed", tiny_llm_folder, 1)
    done = run(folder, *TRAIN_IN_TWO, ACCELERATE_USE_DEEPSPEED="true")
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and "docs/accelerate/fsdp2.yaml" in lines[0]
    assert not (folder / "models/adapters").exists()


@pytest.mark.slow
def test_torchrun_itself_starts_the_stages_and_each_process_computes(
    tiny_llm_folder: Path, tmp_path: Path
) -> None:
    folder = project(tmp_path / "torchrun", tiny_llm_folder, 1)
    done = run(folder, *TRAIN_IN_TWO)
    assert done.returncode == 0, done.stderr
    assert (folder / "models/adapters/text/adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_a_bad_value_is_one_line_among_several_processes_too(
    tiny_llm_folder: Path, tmp_path: Path
) -> None:
    folder = project(tmp_path / "bad", tiny_llm_folder, 2)
    text = (folder / "params.yaml").read_text()
    assert text.count("micro_tokens: 1024") == 1
    (folder / "params.yaml").write_text(text.replace("micro_tokens: 1024", "micro_tokens: 0"))
    done = run(folder, "-m", "stages.train_lora", "text")
    assert done.returncode == 2
    assert done.stderr.startswith("error: params.yaml: train_lora.micro_tokens = 0")
    assert done.stderr.count("\n") == 1
    assert not (folder / "models/adapters").exists()


@pytest.mark.parametrize("threads", [2, 3])
def test_workers_give_the_scores_of_one_thread(tiny_llm_folder: Path, threads: int) -> None:
    llm = load_llm(tiny_llm_folder, precision="float32")
    table = prompt_table(40, 7).to_pydict()
    prompts = [p + s for p, s in zip(table["prefix"], table["suffix"], strict=True)]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = score_prompts(llm, prompts, prefixes=table["prefix"], token_budget=100)
        torch.set_num_threads(threads)
        together = score_prompts(llm, prompts, prefixes=table["prefix"], token_budget=100)
        assert torch.get_num_threads() == threads, "the threads are given back"
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(together, alone, atol=2e-5)
