"""What DVC's commands show of a run, and the table at its end, in a terminal's width."""

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.measures import __main__ as command
from stages.measures.planned import BIAS, OURS
from stages.measures.summary import summary_table
from stages.measures.table import headline

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 120
# As wide as figures get.
GAP = {"value": -0.123456, "low": -0.234567, "high": -0.012345}
ROWS: dict[str, Any] = {
    OURS: {"auc": 0.712345, "uauc": 0.612345, "valid_auc": 0.723456, "tokens": 1241.0904},
    BIAS: {"difference": {"auc": GAP, "uauc": GAP}},
    "binmf": {"difference": {"auc": GAP, "uauc": GAP}},
}


def dvc(folder: Path, *words: str) -> list[str]:
    """Runs DVC without a terminal, 120 columns wide; returns the lines of its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", "COLUMNS": str(WIDTH)}
    done = subprocess.run(["dvc", *words], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def write_headline(folder: Path, **changes: float) -> None:
    ours = {**ROWS[OURS], **changes}
    found = headline({"methods": {**ROWS, OURS: ours}}, 162_541)
    (folder / "metrics/main.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the project's params and metrics, no stages, and one experiment."""
    folder = tmp_path_factory.mktemp("shown")
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"].values()
    bodies = [stage.get("do", stage) for stage in stages]
    metrics = [next(iter(out)) for body in bodies for out in body.get("metrics", [])]
    assert metrics == ["metrics/main.json"]
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "dvc.yaml").write_text(json.dumps({"metrics": metrics}))
    (folder / "metrics").mkdir()
    write_headline(folder)
    git(folder, "init", "-q", "-b", "main")
    dvc(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "start")
    params = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(params.replace("compress: false", "compress: true", 1))
    write_headline(folder, auc=0.8, tokens=203.4)
    dvc(folder, "exp", "save", "-n", "with-dotted-codes")
    git(folder, "checkout", "-q", ".")
    return folder


def test_metrics_show_is_one_line_of_figures_and_fits_a_terminal(project: Path) -> None:
    lines = dvc(project, "metrics", "show")
    assert len(lines) == 2 and max(map(len, lines)) <= WIDTH
    shown = dict(zip(lines[0].split(), lines[1].split(), strict=True))
    assert shown["auc"] == "0.7123" and shown["bias_l"] == "-0.2346" and shown["codes"] == "162541"
    assert len(shown) == 12


def test_metrics_diff_shows_what_changed_alone_and_fits_a_terminal(project: Path) -> None:
    lines = dvc(project, "metrics", "diff", "HEAD", "with-dotted-codes")
    assert len(lines) == 3 and max(map(len, lines)) <= WIDTH
    assert lines[1].split() == ["metrics/main.json", "auc", "0.7123", "0.8", "0.0877"]
    assert dvc(project, "metrics", "diff") == []


def test_exp_show_of_what_changed_fits_a_terminal(project: Path) -> None:
    lines = dvc(project, "exp", "show", "--no-pager", "--only-changed", "--sort-by", "auc")
    assert len(lines) == 7 and max(map(len, lines)) <= WIDTH
    assert lines[1].split() == ["Experiment", "Created", "auc", "tokens", "compress"]
    assert lines[5].split()[-3:] == ["0.8", "203.4", "True"]
    assert "with-dotted-codes" in lines[5]


def test_in_a_terminal_exp_show_starts_with_the_headline(project: Path) -> None:
    """DVC shows every key of params.yaml too; its pager lets one scroll to them."""
    lines = in_a_terminal(project, ["dvc", "exp", "show"])
    shown = lines[1][:WIDTH].split()
    assert shown[:7] == ["Experiment", "Created", "auc", "uauc", "bias", "bias_l", "bias_h"]
    assert len(lines) == 7


def in_a_terminal(folder: Path, words: list[str]) -> list[str]:
    """Runs a command in a terminal of 120 columns, whose pager prints all."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ |= {"DVC_PAGER": "cat", "TERM": "xterm", "DVC_NO_ANALYTICS": "1"}
        os.environ.pop("COLUMNS", None)
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        os.execvp(words[0], words)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
    printed = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the command has ended
            break
        printed += part
    os.waitpid(child, 0)
    return re.sub(r"\x1b\[[0-9;]*m", "", printed.decode()).splitlines()


# The table at the end of a run.


def test_make_repro_ends_with_the_table_and_make_show_prints_it() -> None:
    # What `make test` hands down would make this one a part of it, and say so among its lines.
    env = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    plan = ["make", "-n", "-o", ".venv/installed"]
    for target, expected in (
        ("repro", ["python -m stages.io.recovery", "TABLE_FOLLOWS=1 dvc repro"]),
        ("show", []),
    ):
        done = subprocess.run(
            [*plan, target], cwd=ROOT, env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == [*expected, "python -m stages.measures"]


def record() -> dict[str, Any]:
    """A table as git keeps it, undefined values left out."""
    row = {"kind": "variant", "intervals": {}, "uauc_users": 40}
    return {
        "protocol": {
            **{"dataset": "ml-100k", "rows": 280, "test_rows": 420, "users": 40},
            **{"test_users": 60, "ndcg_k": 5, "replicates": 200, "level": 0.95},
        },
        "chance": {"auc": 0.5, "uauc": 0.5, "gauc": 0.5, "ndcg": 0.6},
        "methods": {
            "text": {**row, "title": "TALLRec", "auc": 0.6, "difference": {"auc": GAP}},
            OURS: {**row, "title": "BinLLM", "auc": 0.7, "ndcg": 0.75},
        },
    }


def test_the_table_is_printed_from_what_git_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["measures"])
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/evaluate.json").write_text(json.dumps(record()))
    command.main()
    printed = capsys.readouterr().out
    assert printed == summary_table(record()) + "\n"
    assert "By AUC, BinLLM ranks worse than TALLRec" in printed
    assert re.search(r"^BinLLM +0\.7000 +- +- +0\.7500$", printed, re.M)
    assert list(tmp_path.rglob("*.json")) == [tmp_path / "metrics/evaluate.json"]


@pytest.mark.parametrize(
    ("high", "users", "told"),
    [(-0.001, 30, True), (-0.001, 29, False), (0.001, 30, False), (None, 30, False)],
)
def test_where_binllm_ranks_below_codes_the_table_ends_with_what_that_means(
    high: float | None, users: int, told: bool
) -> None:
    gap = {"value": -0.014, **({} if high is None else {"low": -0.024, "high": high})}
    methods = {
        "taste": {"kind": "codes", "title": "codes of taste", "difference": {"auc": gap}},
        "bias": {"kind": "method", "title": "bias", "difference": {"auc": {"high": -0.1}}},
        "binmf": {"kind": "codes", "title": "BinMF", "difference": {}},
        OURS: {"kind": "variant", "title": "BinLLM", "uauc_users": users},
    }
    lines = command.unread_codes({"protocol": {"users": 40}, "methods": methods})
    assert len(lines) == told
    document, anchor = "docs/table.md", "## How far another run may move"
    assert all(line.startswith("BinLLM ranks below codes of taste: if ") for line in lines)
    assert all(line.split()[-1].startswith(f"{document}#") for line in lines)
    assert anchor in (ROOT / document).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "no such file; run `dvc repro`"),
        ('{"codes": {"auc": 0.7}}', "of an earlier version, without `methods`; run `dvc repro`"),
    ],
)
def test_without_a_record_show_says_what_to_do(
    tmp_path: Path, text: str | None, expected: str
) -> None:
    if text:
        (tmp_path / "metrics").mkdir()
        (tmp_path / "metrics/evaluate.json").write_text(text)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "stages.measures"]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, f"error: metrics/evaluate.json: {expected}\n")
