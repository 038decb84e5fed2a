"""A run pushed to a remote is a run that a second clone need not do: a folder, and S3."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PIPELINE = """\
stages:
  count:
    cmd: python count.py
    deps: [count.py, words.txt]
    params: [least]
    outs: [counts.txt]
  total:
    cmd: "echo total >> ran.log && sed s/words/total/ counts.txt > total.yaml"
    deps: [counts.txt]
    metrics: [total.yaml: {cache: false}]
"""
COUNT = """\
from pathlib import Path

with Path("ran.log").open("a") as log:
    log.write("count\\n")
least = int(Path("params.yaml").read_text().split(":")[1])
words = [word for word in Path("words.txt").read_text().split() if len(word) >= least]
Path("counts.txt").write_text(f"words: {len(words)}\\n")
"""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an S3 server on this machine, with a bucket named `store`."""
    pytest.importorskip("dvc_s3", reason="dvc-s3 is missing (requirements-dev.txt)")
    moto = pytest.importorskip("moto.server", reason="moto is missing (requirements-dev.txt)")
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket="store")
    yield address
    server.stop()


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dvc(folder: Path, *words: str) -> str:
    return run(folder, sys.executable, "-m", "dvc", *words)


def commit(folder: Path) -> None:
    run(folder, "git", "add", "-A")
    run(folder, *("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "state"))


def first_clone(folder: Path, remote: str, options: dict[str, str]) -> None:
    """A pipeline that has run with two settings and pushed both."""
    folder.mkdir()
    run(folder, "git", "init", "-q")
    dvc(folder, "init", "-q")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "count.py").write_text(COUNT)
    (folder / "words.txt").write_text("to be or not to be that is the question\n")
    (folder / ".gitignore").write_text("/ran.log\n/counts.txt\n")
    dvc(folder, "remote", "add", "-d", "store", remote)
    for key, value in options.items():
        dvc(folder, "remote", "modify", "store", key, value)
    for least in (4, 3):
        (folder / "params.yaml").write_text(f"least: {least}\n")
        dvc(folder, "repro")
        commit(folder)
    dvc(folder, "push", "--run-cache", "--all-commits")


def assert_nothing_is_left_to_run(first: Path, second: Path) -> None:
    """A second clone has the outputs, and without its lock file those that the run-cache knows."""
    run(first.parent, "git", "clone", "-q", str(first), str(second))
    shutil.rmtree(first / ".dvc/cache")  # what comes, comes from the remote
    dvc(second, "pull", "--run-cache")
    assert (second / "counts.txt").read_text() == "words: 4\n"
    assert dvc(second, "repro").count("didn't change, skipping") == 2
    run(second, "git", "checkout", "-q", "HEAD~1")
    dvc(second, "pull")
    assert dvc(second, "repro").count("didn't change, skipping") == 2
    assert not (second / "ran.log").exists()
    (second / "params.yaml").write_text("least: 3\n")  # by hand: the lock file is of another run
    assert "Stage 'count' is cached - skipping run" in dvc(second, "repro", "--pull")
    assert (second / "counts.txt").read_text() == "words: 4\n"
    # An uncached metric lies in git alone, so the run-cache of a remote cannot bring it.
    assert (second / "ran.log").read_text() == "total\n"


@pytest.mark.slow
def test_a_clone_that_pulls_from_a_folder_has_nothing_to_run(tmp_path: Path) -> None:
    first_clone(tmp_path / "first", str(tmp_path / "store"), {})
    assert_nothing_is_left_to_run(tmp_path / "first", tmp_path / "second")


@pytest.mark.slow
def test_a_clone_that_pulls_from_s3_has_nothing_to_run(tmp_path: Path, s3: str) -> None:
    first_clone(tmp_path / "first", "s3://store/binllm", {"endpointurl": s3})
    assert_nothing_is_left_to_run(tmp_path / "first", tmp_path / "second")
