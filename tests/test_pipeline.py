"""The real pipeline: `dvc repro` in a temporary clone, on a slice of ml-100k, with a truncated LLM.

Which stages a change re-runs is read off real runs, since a dry run does not cascade.
"""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pandas as pd
import pytest
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from imports import ROOT, files_of
from ruamel.yaml import YAML

from stages.fetch_data.sources import fetch

STAGES = [
    "fetch_data",
    "fetch_llm",
    "preprocess",
    "pretrain_hash",
    "export_codes",
    "materialize_prompts@text",
    "materialize_prompts@codes",
    "train_lora@text",
    "train_lora@codes",
    "predict@text",
    "predict@codes",
    "cost",
    "evaluate",
    "choose_methods",
    "compare@mf",
    "compare@lightgcn",
    "compare@sasrec",
    "compare@din",
    "fetch_encoder",
    "compare_ctrl",
    "compare_llm@icl",
    "compare_llm@prompt4nr",
    "compare_llm@personprompt",
    "compare_llm@collm_mf",
    "compare_llm@collm_din",
    "ablate@binllm_id_only",
    "ablate@binllm_intuitive",
    "ablate@binllm_compressed",
    "report",
]
# Read, but deliberately listed nowhere: how processes share the work changes no result.
NO_KEYS = {"processes", "split_weights"}
MEASURED = {"evaluate", "report"}
AFTER_CODES = {"materialize_prompts@codes", "train_lora@codes", "predict@codes", *MEASURED}
SMALL = {
    "llm.source": "{llm}",
    "fetch_data.source": "{data}",
    "pretrain_hash.epochs": 3,
    "compare.mf.epochs": 2,
    "compare.lightgcn.epochs": 2,
    "compare.sasrec.epochs": 2,
    "compare.din.epochs": 2,
    "materialize_prompts.max_titles": 2,
    "train_lora.train_rows.text": 48,
    "train_lora.train_rows.ids_first": 24,
    "train_lora.train_rows.codes": 48,
    "train_lora.valid_rows": 40,
    "train_lora.evaluations": 4,
    "compare_llm.protocol.valid_rows": 40,
    "compare_llm.training.train_rows": 48,
    "predict.rows": 80,
    "cost.rows": 4,
    "cost.repeats": 1,
    "evaluate.replicates": 50,
    "report.replicates": 50,
}


# A module they import reads the key, but not on their way through it.
NOT_ASKED = {
    ("seed", "materialize_prompts@text"),
    ("compress", "materialize_prompts@text"),
    ("compress", "cost"),
    ("compress", "ablate@binllm_compressed"),
}
# What each ablation changes, as one would by hand.
ABLATIONS: dict[str, dict[str, object]] = {
    "binllm_id_only": {"materialize_prompts.fields": "codes", "train_lora.tuning": "intuitive"},
    "binllm_intuitive": {"train_lora.tuning": "intuitive"},
    "binllm_compressed": {"compress": "true"},
}


def resolved_pipeline() -> dict[str, dict]:
    """Returns every stage of `dvc.yaml` with its templates filled in, as DVC resolves them."""
    with Repo(str(ROOT)) as repo:
        return {
            stage.addressing: {
                "cmd": stage.cmd,
                "deps": {
                    dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)
                },
                "params": {
                    key
                    for dep in stage.deps
                    if isinstance(dep, ParamsDependency)
                    for key in dep.params
                },
            }
            for stage in repo.index.stages
        }


PIPELINE = resolved_pipeline()


@pytest.mark.parametrize("stage", sorted(PIPELINE))
def test_a_stage_depends_on_exactly_the_source_files_it_imports(stage: str) -> None:
    imported = files_of(stage.split("@")[0])
    listed: set[str] = set()
    for dep in PIPELINE[stage]["deps"]:
        if dep.startswith("stages/"):
            path = ROOT / dep
            files = path.rglob("*.py") if path.is_dir() else [path]
            listed |= {file.relative_to(ROOT).as_posix() for file in files}
    assert listed == imported


def test_package_files_hold_docstrings_only() -> None:
    for path in (ROOT / "stages").rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1 and isinstance(body[0], ast.Expr), path


def test_no_stage_imports_another_and_arrows_point_down() -> None:
    below = {"common": {"common"}, "llm": {"llm", "common"}, "collab": {"collab", "common"}}
    for path in (ROOT / "stages").rglob("*.py"):
        room = path.relative_to(ROOT / "stages").parts[0]
        allowed = below.get(room, {room, "llm", "collab", "common"})
        for name in re.findall(r"^\s*(?:from|import) stages\.(\w+)", path.read_text(), re.M):
            assert name in allowed, f"{path} imports stages.{name}"


def run(
    args: list[str], cwd: Path, *, fails: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command; shows all it printed where its exit status is not the expected one."""
    bin_folder = str(Path(sys.executable).parent)
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", **environment}
    result = subprocess.run(args, cwd=cwd, env=env, capture_output=True, text=True)
    assert (result.returncode != 0) == fails, f"{args}\n{result.stdout}\n{result.stderr}"
    return result


def stages_run(result: subprocess.CompletedProcess[str]) -> set[str]:
    """Returns the stages whose command was executed."""
    return set(re.findall(r"Running stage '([^']+)'", result.stdout))


def experiment(clone: Path, **changes: object) -> set[str]:
    """`dvc exp run -S key=value …`; returns the stages that ran."""
    args = [word for key, value in changes.items() for word in ("-S", f"{key}={value}")]
    return stages_run(run(["dvc", "exp", "run", *args], clone))


def set_params(clone: Path, changes: dict[str, object]) -> None:
    yaml = YAML()
    path = clone / "params.yaml"
    params = yaml.load(path)
    for key, value in changes.items():
        *outer, last = key.split(".")
        section = params
        for part in outer:
            section = section[part]
        assert last in section, key
        section[last] = value
    yaml.dump(params, path)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real ml-100k, cut to 60 users."""
    whole, cut = tmp_path_factory.mktemp("ml-100k") / "raw", tmp_path_factory.mktemp("cut")
    fetch("ml-100k", None, whole)
    rows = pd.read_csv(whole / "ml-100k.inter", sep="\t", dtype=str)
    rows[rows["user_id:token"].astype(int) <= 60].to_csv(
        cut / "ml-100k.inter", sep="\t", index=False
    )
    shutil.copy(whole / "ml-100k.item", cut)
    return cut


@pytest.fixture(scope="session")
def clone(
    tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_llm_folder: Path
) -> Path:
    """A fresh git repository with the project's files as they are, and small params committed."""
    folder = tmp_path_factory.mktemp("clone") / "project"
    listed = run(["git", "ls-files", "-co", "--exclude-standard", "-z"], ROOT).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    shutil.rmtree(folder / "metrics", ignore_errors=True)
    set_params(
        folder,
        {
            key: value.format(llm=tiny_llm_folder, data=small_data)
            if isinstance(value, str)
            else value
            for key, value in SMALL.items()
        },
    )
    run(["git", "init", "-q"], folder)
    commit(folder, "start")
    return folder


def commit(folder: Path, message: str) -> None:
    run(["git", "add", "-A"], folder)
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    run(["git", *who, "commit", "-q", "--allow-empty", "-m", message], folder)


@pytest.fixture(scope="session")
def reproduced(clone: Path) -> Path:
    """The clone after one whole `dvc repro`, committed."""
    trace = clone.parent / "trace.jsonl"
    result = run(["dvc", "repro"], clone, BINLLM_TRACE_PARAMS=str(trace))
    assert stages_run(result) == set(PIPELINE) == set(STAGES)
    assert "AUC" in result.stdout  # the summary that ends the run
    commit(clone, "reproduced")
    return clone


@pytest.mark.slow
def test_repro_writes_metrics_for_text_codes_and_binmf(reproduced: Path) -> None:
    quality = json.loads((reproduced / "metrics/evaluate.json").read_text())
    for method in ("text", "codes", "binmf"):
        assert 0 <= quality[method]["auc"] <= 1
        assert quality[method]["rows"] == quality["text"]["rows"] >= 80
    difference = quality["difference"]["auc"]
    assert difference["low"] <= difference["value"] <= difference["high"]


@pytest.mark.slow
def test_predicted_users_are_whole_and_the_same_for_text_and_codes(reproduced: Path) -> None:
    test = pd.read_parquet(reproduced / "data/interactions/test.parquet")
    text, codes = (
        pd.read_parquet(reproduced / f"data/predictions/{kind}.parquet")
        for kind in ("text", "codes")
    )
    assert text["row"].tolist() == codes["row"].tolist()
    counts = text.groupby("uid").size()
    assert 80 <= len(text) < len(test)
    assert counts.equals(test[test["uid"].isin(counts.index)].groupby("uid").size())


@pytest.mark.slow
def test_nothing_runs_a_second_time(reproduced: Path) -> None:
    assert stages_run(run(["dvc", "repro"], reproduced)) == set()
    assert experiment(reproduced) == set()


@pytest.mark.slow
def test_a_clone_of_the_git_files_alone_has_nothing_to_do(reproduced: Path, tmp_path: Path) -> None:
    run(["git", "clone", "-q", str(reproduced), str(tmp_path / "clone")], tmp_path)
    dry = run(["dvc", "repro", "--dry", "--allow-missing"], tmp_path / "clone")
    assert stages_run(dry) == set() and "> python" not in dry.stdout


ID_ONLY, INTUITIVE, COMPRESSED = (f"ablate@{name}" for name in ABLATIONS)
# An ablation that is not chosen does nothing, but is started where what it would read changes.
CHANGES: list[tuple[dict[str, object], set[str]]] = [
    ({"compress": "true"}, AFTER_CODES | {ID_ONLY, INTUITIVE}),
    (
        {"train_lora.tuning": "intuitive"},
        {"train_lora@codes", "predict@codes", *MEASURED, COMPRESSED},
    ),
    (
        {"pretrain_hash.dim": 16},
        AFTER_CODES | {"pretrain_hash", "export_codes", "cost", ID_ONLY, INTUITIVE, COMPRESSED},
    ),
    ({"materialize_prompts.fields": "codes"}, AFTER_CODES | {INTUITIVE, COMPRESSED}),
    (
        {"evaluate.replicates": 60, "cost.repeats": 2, "processes": 2, "split_weights": True},
        {"evaluate", "cost"},
    ),
    ({"compare.mf.epochs": 1}, {"compare@mf", "compare_llm@collm_mf", "report"}),
    ({"report.replicates": 60}, {"report"}),
    (
        {"compare.methods": "[mf,lightgcn,din,binmf,icl,collm_mf,binllm_compressed]"},
        {
            "choose_methods",
            "ablate@binllm_compressed",
            "compare@sasrec",
            "compare_llm@icl",
            "compare_llm@collm_mf",
            "report",
        },
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "expected"), CHANGES, ids=["+".join(changes) for changes, _ in CHANGES]
)
def test_a_change_reruns_these_stages_and_going_back_none(
    reproduced: Path, changes: dict[str, object], expected: set[str]
) -> None:
    assert experiment(reproduced, **changes) == expected
    if "compress" in changes:
        diff = run(["dvc", "metrics", "diff"], reproduced).stdout
        assert "codes.auc" in diff and "text.auc" not in diff
    if "compare.methods" in changes:
        table = json.loads((reproduced / "metrics/table.json").read_text())
        chosen = str(changes["compare.methods"]).strip("[]").split(",")
        assert set(table["methods"]) == {*chosen, "tallrec", "binllm"}
    run(["git", "checkout", "-q", "."], reproduced)
    assert stages_run(run(["dvc", "repro"], reproduced)) == set()


@pytest.mark.slow
def test_a_changed_source_file_reruns_only_its_importers(reproduced: Path) -> None:
    path = reproduced / "stages/evaluate/summary.py"
    before = path.read_text()
    path.write_text(before + "\n# changed\n")
    assert stages_run(run(["dvc", "repro"], reproduced)) == {"evaluate"}
    path.write_text(before)
    assert stages_run(run(["dvc", "repro"], reproduced)) == set()


@pytest.mark.slow
def test_an_ablation_scores_as_binllm_does_with_that_change(reproduced: Path) -> None:
    set_params(reproduced, {"compare.methods": list(ABLATIONS)})
    run([sys.executable, "-m", "stages.choose_methods"], reproduced)
    assert_keys_read_are_listed(
        reproduced, {f"ablate@{name}": changes.keys() for name, changes in ABLATIONS.items()}
    )
    files = [reproduced / f"data/predictions/{name}.parquet" for name in ABLATIONS]
    found = {path.stem: pd.read_parquet(path) for path in files}
    for name, changes in ABLATIONS.items():
        run(["git", "checkout", "-q", "."], reproduced)
        experiment(reproduced, **changes)
        changed = pd.read_parquet(reproduced / "data/predictions/codes.parquet")
        pd.testing.assert_frame_equal(found[name], changed)
    run(["git", "checkout", "-q", "."], reproduced)
    assert stages_run(run(["dvc", "repro"], reproduced)) == set()


@pytest.mark.slow
def test_stages_read_exactly_the_keys_that_they_list(reproduced: Path) -> None:
    # Others list their whole sections, the next test looks at the shared keys; ablations, skipped
    # here, are looked at where they run.
    others = ("fetch", "preprocess", "pretrain", "export", "compare", "ablate")
    stages = [stage for stage in PIPELINE if not stage.startswith(others)]
    assert_keys_read_are_listed(reproduced, dict.fromkeys(stages, ()))
    run(["git", "checkout", "-q", "."], reproduced)


def assert_keys_read_are_listed(clone: Path, stages: Mapping[str, Collection[str]]) -> None:
    """Runs stages and compares: a key that is read but not listed would be a silent cache error.

    Of each stage keys can be named that it sets itself, whatever `params.yaml` says.
    """
    read_by: dict[str, set[str]] = {}
    for stage, replaced in stages.items():
        resolved = PIPELINE[stage]
        trace = clone.parent / f"{stage}.jsonl"
        run(resolved["cmd"].split(), clone, BINLLM_TRACE_PARAMS=str(trace))
        read = {json.loads(line) for line in trace.read_text().splitlines()}
        read -= {*NO_KEYS, *replaced}
        for key in read:
            covered = any(key == k or key.startswith(f"{k}.") for k in resolved["params"])
            opened = any(k.startswith(f"{key}.") for k in resolved["params"])
            assert covered or opened, f"{stage} reads {key}, which dvc.yaml does not list"
        read_by.setdefault(stage.split("@")[0], set()).update(read)
    for command, read in read_by.items():
        # Over both items: with tuning two_step, only @text makes a new adapter.
        listed = [PIPELINE[s]["params"] for s in PIPELINE if s.split("@")[0] == command]
        for key in set().union(*listed):
            used = any(r == key or r.startswith(f"{key}.") for r in read)
            assert used, f"{command} lists {key}, which it does not read"


def test_shared_keys_are_listed_where_they_are_read() -> None:
    for stage, resolved in PIPELINE.items():
        sources = "".join((ROOT / f).read_text() for f in files_of(stage.split("@")[0]))
        for key in re.findall(r"load_shared\(\"(\w+)\"\)", sources):
            if (key, stage) not in NOT_ASKED and key not in NO_KEYS:
                assert key in resolved["params"], f"{stage} reads {key}"


@pytest.mark.slow
def test_training_killed_at_any_moment_goes_on_to_the_same_adapter(reproduced: Path) -> None:
    adapter = reproduced / "models/adapters/text/adapter_model.safetensors"
    expected = adapter.read_bytes()
    for _ in range(2):
        kill_training_after_a_checkpoint(reproduced)
        assert adapter.read_bytes() == expected  # the tracked output is written once, at the end
    adapter.write_bytes(b"replaced by the resumed run")
    result = run([sys.executable, "-m", "stages.train_lora", "text"], reproduced)
    assert adapter.read_bytes() == expected
    assert not checkpoints(reproduced), result.stderr


def checkpoints(clone: Path) -> set[int]:
    """Returns the times of writing of the checkpoints of training step 1."""
    return {path.stat().st_mtime_ns for path in clone.glob(".scratch/train_lora-text-*/*.pt")}


def kill_training_after_a_checkpoint(clone: Path) -> None:
    """Starts (or goes on with) training step 1 and kills it once it has kept its work again."""
    before = checkpoints(clone)
    training = subprocess.Popen(
        [sys.executable, "-m", "stages.train_lora", "text"], cwd=clone, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not checkpoints(clone) - before:
        assert training.poll() is None, "training ended before it could be killed"
        assert time.monotonic() < deadline, "no checkpoint within two minutes"
    training.send_signal(signal.SIGKILL)
    training.wait()


BAD_VALUES = [
    ("compress", "maybe", "compress = 'maybe'"),
    ("train_lora.learning_rate", "fast", "train_lora.learning_rate = 'fast'"),
    ("train_lora.tuning", "three_step", "'two_step' or 'intuitive'"),
    ("train_lora.lora.rank", 0, "train_lora.lora.rank = 0"),
    ("predict.rows", -1, "predict.rows = -1"),
    ("materialize_prompts.fields", "titles", "'text+codes' or 'codes'"),
    ("pretrain_hash.dim", 30, "pretrain_hash.dim = 30"),
    ("evaluate.level", 2, "evaluate.level = 2"),
    ("preprocess.engine", "abacus", "preprocess.engine = 'abacus'"),
    ("dataset", "netflix", "dataset = 'netflix'"),
]
STAGE_OF = {"compress": "materialize_prompts codes", "dataset": "preprocess"}


@pytest.fixture
def params_restored(reproduced: Path) -> Iterator[Path]:
    before = (reproduced / "params.yaml").read_bytes()
    yield reproduced
    (reproduced / "params.yaml").write_bytes(before)


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value", "message"), BAD_VALUES)
def test_a_bad_value_ends_in_one_line_and_writes_nothing(
    params_restored: Path, key: str, value: object, message: str
) -> None:
    set_params(params_restored, {key: value})
    before = run(["git", "status", "--porcelain", "--ignored"], params_restored).stdout
    section = key.split(".")[0]
    default = f"{section} text" if section in {"train_lora", "predict"} else section
    if section == "materialize_prompts":
        default = "materialize_prompts codes"
    command = STAGE_OF.get(key, default).split()
    result = run(
        [sys.executable, "-m", f"stages.{command[0]}", *command[1:]], params_restored, fails=True
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: params.yaml: ") and message in result.stderr
    assert result.stderr.count("\n") == 1
    assert run(["git", "status", "--porcelain", "--ignored"], params_restored).stdout == before
