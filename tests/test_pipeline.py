"""The real pipeline: `dvc repro` in a temporary clone, on a slice of ml-100k, with a truncated LLM.

Which stages a change re-runs is read off real runs, since a dry run does not cascade.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from filelock import FileLock
from imports import ROOT, files_of
from ruamel.yaml import YAML
from warm import shims

from stages import datasets
from stages.datasets.building.places import fetch

STAGES = [
    "plan",
    "fetch_data",
    "fetch_llm",
    "preprocess",
    "pretrain_hash@taste",
    "pretrain_hash@binmf",
    "export_codes@taste",
    "export_codes@binmf",
    "materialize_prompts@text",
    "materialize_prompts@codes",
    "train_lora@text",
    "train_lora@codes",
    "predict@text",
    "predict@codes",
    "cost",
    "compare@item_mean",
    "compare@bias",
    "compare@title_bias",
    "compare@item_knn",
    "compare@mf",
    "compare@lightgcn",
    "compare@sasrec",
    "compare@din",
    "evaluate",
    "report",
]
SHIMS = "shims"
# Read, but deliberately listed nowhere: how processes share the work, and who watches training,
# changes no result.
NO_KEYS = {"processes", "split_weights", "live"}
TABLE = {"evaluate", "report"}
AFTER_CODES = {"materialize_prompts@codes", "train_lora@codes", "predict@codes"} | TABLE
OF_TASTE = {"pretrain_hash@taste", "export_codes@taste"}
# Stages whose items differ in the keys they read: these are params of `plan`, which writes what
# they come to into the file on which an item depends.
BY_ITEM = {"pretrain_hash", "materialize_prompts", "train_lora"}
SCORED = 50
SMALL = {
    "llm.source": "{llm}",
    "llm.layers": 1,
    "fetch_data.source": "{data}",
    "pretrain_hash.taste.distillation.steps": 5,
    "pretrain_hash.taste.epochs": 2,
    "pretrain_hash.epochs": 3,
    "compare.mf.epochs": 2,
    "compare.lightgcn.epochs": 2,
    "compare.sasrec.epochs": 2,
    "compare.din.epochs": 2,
    "materialize_prompts.max_titles": 2,
    "train_lora.train_rows.titles_first": 6,
    "train_lora.train_rows.text": 15,
    "train_lora.train_rows.ids_first": 6,
    "train_lora.train_rows.codes": 15,
    "train_lora.valid_rows": 12,
    "train_lora.evaluations": 4,  # each keeps a checkpoint, after which training can be killed
    "variants.text.changes.batch_rows": 3,  # steps enough for as many
    "compare_llm.protocol.valid_rows": 12,
    "compare_llm.training.train_rows": 16,
    "predict.rows": SCORED,
    "cost.rows": 4,
    "cost.repeats": 1,
    "evaluate.replicates": 50,
}
# Read on the way to what they need, and not looked at.
NOT_ASKED = {(key, "cost") for key in ("compress", "codes", "materialize_prompts.bits")}
# What each of the paper's further rows changes, as one would by hand; and as rows of their own.
ABLATIONS: dict[str, dict[str, object]] = {
    "id_only": {"materialize_prompts.fields": "[codes]", "train_lora.tuning": "intuitive"},
    "intuitive": {"train_lora.tuning": "intuitive"},
    "compressed": {"compress": "true"},
}
ROWS: dict[str, object] = {
    "+prompts.id_only": "{content: codes/taste, changes: {fields: [codes]}}",
    "+prompts.compressed": "{content: codes/taste, changes: {compress: true}}",
    "+variants.id_only": "{prompts: id_only, start: llm}",
    "+variants.intuitive": "{prompts: codes, start: llm}",
    "+variants.compressed": "{prompts: compressed, start: adapters/text}",
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
def test_a_stage_depends_on_its_key_file_and_lists_no_source(stage: str) -> None:
    deps = PIPELINE[stage]["deps"]
    if stage == "plan":
        assert deps == {"stages"}
        return
    assert not {dep for dep in deps if dep.startswith("stages")}
    keys = {dep for dep in deps if dep.startswith("data/plan/")} - {"data/plan/rows.json"}
    assert keys == {key_file_of(stage)}


def key_file_of(stage: str) -> str:
    """Returns where `plan` writes what a stage, or an item of one, depends on."""
    name, _, item = stage.partition("@")
    by_item = name in BY_ITEM | {"compare", "compare_llm"}
    return f"data/plan/{name}/{item}" if by_item else f"data/plan/{name}"


def modules_of(stage: str) -> list[str]:
    """Returns the modules that a stage runs: its own, and those that a registry finds for it."""
    name, _, item = stage.partition("@")
    metrics = [f"stages.measures.metrics.{name}" for name in ("auc", "gauc", "ndcg", "uauc")]
    also = {
        "fetch_data": ["stages.datasets.ml_100k"],
        "preprocess": ["stages.datasets.ml_100k"],
        "compare": [f"stages.methods.{item}"],
        "evaluate": metrics,
        "report": metrics,
    }
    return [f"stages.{name}", *also.get(name, [])]


def run(
    args: list[str], cwd: Path, *, fails: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command; shows all it printed where its exit status is not the expected one.

    `dvc` and `python` are those of `SHIMS` where the project has them beside it.
    """
    folders = [cwd.parent / SHIMS, Path(sys.executable).parent, os.environ["PATH"]]
    path = os.pathsep.join(map(str, folders))
    env = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", **environment}
    result = subprocess.run(args, cwd=cwd, env=env, capture_output=True, text=True)
    assert (result.returncode != 0) == fails, f"{args}\n{result.stdout}\n{result.stderr}"
    return result


def stages_run(result: subprocess.CompletedProcess[str]) -> set[str]:
    """Returns the stages whose command was executed."""
    return set(stages_named(result.stdout))


def stages_named(output: str) -> list[str]:
    """Returns the stages that DVC says it runs, in order."""
    return re.findall(r"Running stage '([^']+)'", output)


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
    """The real ml-100k, cut to 60 users with 40 rows at most."""
    whole, cut = tmp_path_factory.mktemp("ml-100k") / "raw", tmp_path_factory.mktemp("cut")
    with FileLock(ROOT / ".scratch/small_data.lock"):  # another worker may be downloading it
        fetch("ml-100k", datasets.load("ml-100k").place, None, whole)
    rows = pd.read_csv(whole / "ml-100k.inter", sep="\t", dtype=str)
    few = rows[rows["user_id:token"].astype(int) <= 60].groupby("user_id:token").head(40)
    few.to_csv(cut / "ml-100k.inter", sep="\t", index=False)
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
def reproduced(clone: Path) -> Iterator[Path]:
    """The clone after one whole `dvc repro`, committed.

    There each stage starts a Python of its own; later ones are copies of one that has imported
    torch and the like already.
    """
    trace = clone.parent / "trace.jsonl"
    result = run(["dvc", "repro"], clone, BINLLM_TRACE_PARAMS=str(trace))
    assert stages_run(result) == set(PIPELINE) == set(STAGES)
    assert "AUC" in result.stdout  # the summary that ends the run
    commit(clone, "reproduced")
    with shims(clone.parent / SHIMS):
        yield clone


@pytest.mark.slow
@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"plan"}))
def test_a_key_file_names_exactly_the_sources_that_the_stage_imports(
    reproduced: Path, stage: str
) -> None:
    key = json.loads((reproduced / key_file_of(stage)).read_text())
    assert set(key["sources"]) == files_of(*modules_of(stage))
    for name, digest in key["sources"].items():
        assert hashlib.sha256((reproduced / name).read_bytes()).hexdigest() == digest


@pytest.mark.slow
def test_repro_writes_metrics_for_text_codes_and_sets_of_codes(reproduced: Path) -> None:
    quality = json.loads((reproduced / "metrics/evaluate.json").read_text())["methods"]
    headline = json.loads((reproduced / "metrics/main.json").read_text())
    assert headline["auc"] == round(quality["codes"]["auc"], 4)
    assert headline["codes"] > 0 and headline["tokens"] > 0
    for method in ("text", "codes", "taste", "binmf"):
        assert 0 <= quality[method]["auc"] <= 1
        assert quality[method]["rows"] == quality["text"]["rows"] >= SCORED
    difference = quality["text"]["difference"]["auc"]
    assert difference["low"] <= difference["value"] <= difference["high"]
    for codes in ("taste", "binmf"):
        text = (reproduced / f"metrics/pretrain_hash/{codes}.json").read_text()
        assert json.loads(text)["health"]["user"]["codes"] > 0


@pytest.mark.slow
def test_predicted_users_are_whole_and_the_same_for_text_and_codes(reproduced: Path) -> None:
    test = pd.read_parquet(reproduced / "data/interactions/test.parquet")
    text, codes = (
        pd.read_parquet(reproduced / f"data/predictions/{kind}.parquet")
        for kind in ("text", "codes")
    )
    assert text["row"].tolist() == codes["row"].tolist()
    counts = text.groupby("uid").size()
    assert SCORED <= len(text) < len(test)
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


CHANGES: list[tuple[dict[str, object], set[str]]] = [
    ({"compress": "true"}, {"plan"} | AFTER_CODES),
    (
        {"train_lora.tuning": "intuitive"},
        {"plan", "train_lora@codes", "predict@codes"} | TABLE,
    ),
    (
        {"pretrain_hash.dim": 16},
        {"plan", "pretrain_hash@binmf", "export_codes@binmf", "cost"} | OF_TASTE | AFTER_CODES,
    ),
    # A set of codes has the keys of its own recipe alone. Both change the initial state as well, so
    # that there are other codes whichever epoch of this small fit is the best.
    ({"pretrain_hash.taste.init_scale": 0.1}, {"plan", "cost"} | OF_TASTE | AFTER_CODES),
    (
        {"pretrain_hash.vectors": "lightgcn"},
        {"plan", "pretrain_hash@binmf", "export_codes@binmf"} | TABLE,
    ),
    ({"materialize_prompts.fields": "[codes]"}, {"plan", "cost"} | AFTER_CODES),
    (
        {"evaluate.replicates": 60, "cost.repeats": 2, "processes": 2, "split_weights": True},
        {"plan", "cost"} | TABLE,
    ),
    ({"compare.mf.epochs": 1}, {"plan", "compare@mf"} | TABLE),
    (
        {
            "compare.methods": "[bias,mf,lightgcn,din]",
            "compare_llm.methods": "[icl]",
            "compare_llm.on_vectors": "[mf]",
        },
        {"plan", "compare_llm@icl", "compare_collm@mf"} | TABLE,
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
        diff = run(["dvc", "metrics", "diff"], reproduced).stdout.splitlines()[1:]
        changed = {line.split()[1] for line in diff}
        assert {"auc", "tokens"} <= changed and "codes" not in changed
    if "compare.methods" in changes:
        table = json.loads((reproduced / "data/evaluation/table.json").read_text())
        chosen = [
            *("bias", "mf", "lightgcn", "din", "taste", "binmf"),
            *("icl", "collm_mf", "text", "codes"),
        ]
        assert list(table["methods"]) == chosen
    go_back(reproduced, fewer_rows="compare.methods" in changes)


def go_back(clone: Path, *, fewer_rows: bool) -> None:
    """Returns to the commit: nothing runs, but `TABLE` where files of further rows lie about."""
    run(["git", "checkout", "-q", "."], clone)
    run(["git", "clean", "-qfd", "metrics"], clone)  # of further rows, not committed
    ran = stages_run(run(["dvc", "repro"], clone))
    assert ran <= (TABLE if fewer_rows else set())
    assert run(["git", "status", "--porcelain"], clone).stdout == ""
    if ran:
        assert stages_run(run(["dvc", "repro"], clone)) == set()


# A file of each room, and one that no stage of this run imports.
EDITS: list[tuple[str, set[str]]] = [
    ("stages/measures/metrics/ndcg.py", TABLE),
    ("stages/measures/figures.py", {"evaluate"}),
    ("stages/measures/page/drawings.py", {"report"}),
    ("stages/methods/mf.py", {"compare@mf"}),
    (
        "stages/collab/main_effects.py",
        {
            *("compare@bias", "compare@title_bias", "compare@item_knn"),
            *("pretrain_hash@taste", "pretrain_hash@binmf"),
        },
    ),
    ("stages/collab/taste.py", {"pretrain_hash@taste", "pretrain_hash@binmf"}),
    ("stages/measures/code_quality.py", {"pretrain_hash@taste", "pretrain_hash@binmf"}),
    ("stages/collab/din.py", {"compare@din"}),
    ("stages/datasets/ml_100k.py", {"fetch_data", "preprocess"}),
    ("stages/prompts/write.py", {"materialize_prompts@text", "materialize_prompts@codes"}),
    ("stages/llm/steps.py", {"train_lora@text", "train_lora@codes"}),
    ("stages/llm/scoring_run.py", {"predict@text", "predict@codes"}),
    ("stages/io/downloads.py", {"fetch_data", "fetch_llm", "preprocess"}),
    ("stages/datasets/ml_1m.py", set()),
    ("stages/methods/personprompt.py", set()),
    ("stages/recommend/outputs.py", set()),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), EDITS, ids=[name for name, _ in EDITS])
def test_an_edit_reruns_exactly_the_stages_that_import_the_file(
    reproduced: Path, name: str, expected: set[str]
) -> None:
    importers = {stage for stage in set(STAGES) - {"plan"} if name in files_of(*modules_of(stage))}
    assert importers == expected
    path = reproduced / name
    before = path.read_text()
    path.write_text(before + "\n# changed\n")
    try:
        ran = stages_run(run(["dvc", "repro"], reproduced))
    finally:
        path.write_text(before)
    # It reads seconds, which differ each time: it runs wherever one of its rows was made anew.
    assert ran - (TABLE - expected) == {"plan", *expected}


@pytest.mark.slow
def test_after_edits_that_were_undone_nothing_runs(reproduced: Path) -> None:
    """Nor does what an undone edit concerned run with the next edit, see above."""
    assert stages_run(run(["dvc", "repro"], reproduced)) == set()


@pytest.mark.slow
def test_a_variant_scores_as_binllm_does_with_that_change(reproduced: Path) -> None:
    ran = experiment(reproduced, **ROWS)
    assert ran - {"plan", *TABLE} == {
        "materialize_prompts@id_only",  # none for intuitive: it reads the prompts of codes
        "materialize_prompts@compressed",
        *(f"{stage}@{name}" for stage in ("train_lora", "predict") for name in ABLATIONS),
    }
    found = {
        name: pd.read_parquet(reproduced / f"data/predictions/{name}.parquet") for name in ABLATIONS
    }
    for name, changes in ABLATIONS.items():
        run(["git", "checkout", "-q", "."], reproduced)
        experiment(reproduced, **changes)
        changed = pd.read_parquet(reproduced / "data/predictions/codes.parquet")
        pd.testing.assert_frame_equal(found[name], changed)
    go_back(reproduced, fewer_rows=True)


@pytest.mark.slow
def test_stages_read_exactly_the_keys_that_they_list(reproduced: Path) -> None:
    others = ("fetch", "preprocess", "export", "compare")  # they list their whole sections
    assert_keys_read_are_listed(
        reproduced, [stage for stage in PIPELINE if not stage.startswith(others)]
    )
    run(["git", "checkout", "-q", "."], reproduced)


def assert_keys_read_are_listed(clone: Path, stages: Collection[str]) -> None:
    """Runs stages and compares: a key that is read but not listed would be a silent cache error.

    What an item of a stage reads for its settings is listed by `plan`, which puts these settings
    into the file that the item depends on.
    """
    read_by: dict[str, set[str]] = {}
    for stage in stages:
        resolved = PIPELINE[stage]
        name, _, item = stage.partition("@")
        trace = clone.parent / f"{stage}.jsonl"
        run(resolved["cmd"].split(), clone, BINLLM_TRACE_PARAMS=str(trace))
        read = {json.loads(line) for line in trace.read_text().splitlines()} - NO_KEYS
        read = {key for key in read if (key, name) not in NOT_ASKED}
        listed = set(resolved["params"])
        if name in BY_ITEM:
            listed |= PIPELINE["plan"]["params"]
        if name == "predict":
            listed.add(f"variants.{item}.prompts")  # in the path of the prompts it depends on
        for key in read:
            covered = any(key == k or key.startswith(f"{k}.") for k in listed)
            opened = any(k.startswith(f"{key}.") for k in listed)
            assert covered or opened, f"{stage} reads {key}, which dvc.yaml does not list"
        read_by.setdefault(name, set()).update(read)
    for command, read in read_by.items():
        if command == "plan":
            continue  # sections of methods that do not run are listed whole
        for stage in (stage for stage in stages if stage.split("@")[0] == command):
            for key in PIPELINE[stage]["params"]:
                used = any(
                    r == key or r.startswith(f"{key}.") or key.startswith(f"{r}.") for r in read
                )
                assert used, f"{command} lists {key}, which it does not read"


def test_what_shapes_items_is_listed_by_the_plan() -> None:
    sections = {"pretrain_hash", "materialize_prompts", "train_lora", "compare_llm"}
    tables = {"codes", "prompts", "variants", "compare"}
    shared = {"seed", "compress", "dataset", "predict"}
    late = {"cost", "evaluate"}  # checked before the trainings
    assert PIPELINE["plan"]["params"] == sections | tables | shared | late


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
    ("materialize_prompts.fields", ["text"], "'titles', 'rates', 'codes' or 'history"),
    ("pretrain_hash.dim", 30, "pretrain_hash.dim = 30"),
    ("evaluate.level", 2, "evaluate.level = 2"),
    ("preprocess.engine", "abacus", "preprocess.engine = 'abacus'"),
    ("dataset", "netflix", "dataset = 'netflix'"),
    ("pretrain_hash.taste.dropout", 1, "pretrain_hash.taste.dropout = 1"),
    ("codes.taste", {"dim": 30}, "codes.taste.dim = 30"),
    ("codes.binmf", {"recipe": "old"}, "codes.binmf.recipe = 'old'"),
    ("prompts.codes.content", "codes/wide", "codes has no 'wide'; expected taste, binmf"),
    ("variants.codes.start", "adapters/texts", "variants has no 'texts'; expected text, codes"),
    ("compare.methods", ["mf", "dim"], "compare.methods: 'dim' is no compared method"),
]
STAGE_OF = {
    "compress": "materialize_prompts codes",
    "dataset": "preprocess",
    "codes.taste": "pretrain_hash taste",
    "codes.binmf": "pretrain_hash binmf",
    "prompts.codes.content": "materialize_prompts codes",
    "variants.codes.start": "train_lora codes",
    "train_lora.learning_rate": "train_lora codes",  # step 1 has its own
    "compare.methods": "plan",
}


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
    items = {"train_lora": "text", "predict": "text", "pretrain_hash": "taste"}
    items["materialize_prompts"] = "codes"
    default = f"{section} {items.get(section, '')}"
    command = STAGE_OF.get(key, default).split()
    result = run(
        ["python", "-m", f"stages.{command[0]}", *command[1:]], params_restored, fails=True
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: params.yaml: ") and message in result.stderr
    assert result.stderr.count("\n") == 1
    assert run(["git", "status", "--porcelain", "--ignored"], params_restored).stdout == before


# What CONTRIBUTING.md says of adding things: its examples are run as they stand there.

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def examples(heading: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Returns the code of one section of CONTRIBUTING.md by file, and its lines of params.yaml."""
    found = re.search(rf"^### {re.escape(heading)}\n(.*?)(?=^##|\Z)", CONTRIBUTING, re.M | re.S)
    assert found, heading
    files, params = {}, {}
    for language, body in re.findall(r"^```(\w+)\n(.*?)^```", found[1], re.M | re.S):
        first, _, rest = body.partition("\n")
        name = first.removeprefix("# ")
        if language == "python":
            files[name] = rest
        else:
            assert name == "params.yaml"
            params = YAML(typ="safe").load(rest)
    return files, params


def merge(into: Any, what: dict[str, Any]) -> None:
    for key, value in what.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def add(clone: Path, heading: str) -> list[Path]:
    """Does what a section of CONTRIBUTING.md shows; returns the files that are new."""
    files, params = examples(heading)
    for name, code in files.items():
        assert not (clone / name).exists()
        (clone / name).write_text(code)
    yaml = YAML()
    content = yaml.load(clone / "params.yaml")
    merge(content, params)
    yaml.dump(content, clone / "params.yaml")
    return [clone / name for name in files]


@pytest.fixture
def grown(reproduced: Path) -> Iterator[Path]:
    """The clone, to add to; afterwards what was added is gone and nothing else has changed."""
    yield reproduced
    run(["git", "clean", "-qfd"], reproduced)
    go_back(reproduced, fewer_rows=True)


def measured(clone: Path) -> dict[str, dict]:
    """Returns the table's rows but for their seconds, which differ each time."""
    rows = json.loads((clone / "data/evaluation/table.json").read_text())["methods"]
    return {name: {k: v for k, v in row.items() if k != "seconds"} for name, row in rows.items()}


ADDED: list[tuple[str, str, set[str]]] = [
    ("A compared method without an LLM", "popularity", {"compare@popularity"}),
    ("A compared method with an LLM", "zero_shot", {"compare_llm@zero_shot"}),
    ("A variant of BinLLM", "low_rank", {"train_lora@low_rank", "predict@low_rank"}),
    ("A set of codes", "wide", {"pretrain_hash@wide", "export_codes@wide"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("heading", "row", "expected"), ADDED, ids=[row for _, row, _ in ADDED])
def test_a_row_is_added_as_contributing_shows_and_nothing_else_runs(
    grown: Path, heading: str, row: str, expected: set[str]
) -> None:
    before = measured(grown)
    files = add(grown, heading)
    assert len(files) <= 1
    assert stages_run(run(["dvc", "repro"], grown)) == {"plan"} | TABLE | expected
    after = measured(grown)
    assert set(after) == {*before, row} and 0 <= after[row]["auc"] <= 1
    assert {name: after[name] for name in before} == before


@pytest.mark.slow
def test_a_metric_is_added_as_contributing_shows_and_only_the_table_is_made_anew(
    grown: Path,
) -> None:
    files = add(grown, "A metric")
    assert len(files) == 1
    assert stages_run(run(["dvc", "repro"], grown)) == {"plan"} | TABLE
    quality = json.loads((grown / "metrics/evaluate.json").read_text())["methods"]
    assert 0 <= quality["codes"]["hit_rate"] <= 1
    assert "hit_rate" in pd.read_csv(grown / "metrics/table.csv").columns


@pytest.mark.slow
def test_a_data_set_is_added_as_contributing_shows_and_runs_nothing_until_it_is_chosen(
    grown: Path, tmp_path: Path
) -> None:
    code, params = examples("A data set")
    ((name, text),) = code.items()
    (grown / name).write_text(text)
    assert stages_run(run(["dvc", "repro"], grown)) == {"plan"}
    rows = [
        f"{user},{film},{1 + (user * film) % 5},{film}" for user in range(9) for film in range(30)
    ]
    (tmp_path / "ratings.csv").write_text("\n".join(["user,film,stars,time", *rows, ""]))
    films = [f"{film},Film {film}" for film in range(30)]
    (tmp_path / "films.csv").write_text("\n".join(["film,title", *films, ""]))
    change = {"dataset": params["dataset"], "fetch_data.source": str(tmp_path)}
    set_params(grown, change)
    ran = stages_run(run(["dvc", "repro", "preprocess"], grown))
    assert ran == {"plan", "fetch_data", "preprocess"}
    data = json.loads((grown / "metrics/data.json").read_text())
    assert (data["dataset"], data["rows"], data["users"]) == ("tiny-films", 270, 9)


def test_contributing_has_an_example_for_each_kind_of_thing() -> None:
    headings = re.findall(r"^### (.+)$", CONTRIBUTING, re.M)
    shown = [heading for heading, _, _ in ADDED]
    assert headings == ["A data set", *shown, "An LLM", "A metric"]
    assert examples("An LLM") == ({}, {"llm": {"source": "path/to/llm"}})  # as the slice's is
