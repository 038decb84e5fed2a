"""Faults injected into a whole run on a slice: full disks, kills, files that DVC left half-written.

`BINLLM_KILLS=10` kills every stage at ten moments instead of three stages at one, and fills the
disk at five points of each instead of two.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML
from test_pipeline import (
    ROOT,
    clone,  # noqa: F401
    commit,
    run,
    set_params,
    small_data,  # noqa: F401
    stages_named,
    stages_run,
)

pytestmark = pytest.mark.slow
PER_STAGE = int(os.environ.get("BINLLM_KILLS", "0"))
# Without the variable: the stages that keep checkpoints, and one of whole outputs.
FEW = {"preprocess": 1, "train_lora@text": 1, "predict@codes": 1}
# Of the size of a stage's outputs: bytes that are free.
POINTS = (0, 0.1, 0.4, 0.7, 0.95) if PER_STAGE else (0, 0.4)
BIN = Path(sys.executable).parent


class Reference:
    """The slice, reproduced without a fault.

    Attributes:
        folder: the clone.
        seconds: how long each stage ran.
        lock: what `dvc.lock` holds of each stage.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        recover(folder)
        with started_repro(folder) as repro:
            starts = [(stage, time.monotonic()) for stage in stages_begun(folder, repro)]
            assert repro.wait() == 0, output(folder)
        ends = [at for _, at in starts[1:]] + [time.monotonic()]
        self.seconds = {stage: end - at for (stage, at), end in zip(starts, ends, strict=True)}
        self.lock = YAML(typ="safe").load(folder / "dvc.lock")["stages"]


@pytest.fixture(scope="session")
def start(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("faults") / "start"
    shutil.copytree(clone, folder)
    set_params(folder, {"compare.methods": ["bias", "mf"]})
    commit(folder, "fewer methods")
    return folder


@pytest.fixture(scope="session")
def reference(start: Path) -> Reference:
    folder = start.with_name("reference")
    shutil.copytree(start, folder)
    return Reference(folder)


def recover(folder: Path) -> str:
    """Does what `make repro` does before `dvc repro`; returns what it says."""
    commands = "python -m stages.io.recovery\n\tTABLE_FOLLOWS=1 dvc repro\n"
    assert commands in (ROOT / "Makefile").read_text()
    return run([sys.executable, "-m", "stages.io.recovery"], folder).stderr


@contextmanager
def started_repro(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `dvc repro` as a process group of its own, for as long as it is wanted."""
    environment = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    environment["OMP_WAIT_POLICY"] = "PASSIVE"  # as the Makefile has it
    with (
        (folder.parent / f"{folder.name}.log").open("wb") as log,
        subprocess.Popen(
            [str(BIN / "dvc"), "repro"],
            cwd=folder,
            env={**os.environ, **environment, "DVC_NO_ANALYTICS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as repro,
    ):
        try:
            yield repro
        finally:
            repro.kill()  # its stage ends with it


def output(folder: Path) -> str:
    return (folder.parent / f"{folder.name}.log").read_text()


def stages_begun(folder: Path, repro: subprocess.Popen[bytes]) -> Iterator[str]:
    """Yields the stages that a run begins, when it begins them."""
    told = 0
    while True:
        ended = repro.poll() is not None
        names = stages_named(output(folder))
        yield from names[told:]
        told = len(names)
        if ended:
            return
        time.sleep(0.02)


def sleep_at_most_to_the_stages_end(
    folder: Path, repro: subprocess.Popen[bytes], seconds: float
) -> None:
    so_far, until = stages_named(output(folder)), time.monotonic() + seconds
    while time.monotonic() < until and repro.poll() is None:
        if stages_named(output(folder)) != so_far:
            return
        time.sleep(0.02)


# A disk that fills up while a stage writes.


@pytest.fixture
def disk(reference: Reference, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The reproduced slice on a small file system of its own, where one can be made."""
    folder = tmp_path / "disk"
    folder.mkdir()
    kept = {".git", ".dvc", "filler", ".scratch"}
    used = sum(path.stat().st_size for path in reference.folder.rglob("*") if path.is_file())
    mount = ["mount", "-t", "tmpfs", "-o", f"size={used + (64 << 20)}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    shutil.copytree(
        reference.folder, folder, dirs_exist_ok=True, ignore=lambda _, names: kept & set(names)
    )
    yield folder, "disk" if mounted else "limit"
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_fills_up_at_any_point_of_any_stage_is_one_line_and_leaves_nothing(
    reference: Reference, disk: tuple[Path, str]
) -> None:
    folder, how = disk
    cases = []
    for entry in reference.lock.values():
        outputs = [out["path"] for out in entry["outs"]]
        sizes = [out["size"] for out in entry["outs"]]
        whole = sum(sizes) if how == "disk" else max(sizes)
        cases += [
            {
                "command": entry["cmd"].split()[2:],
                "outputs": outputs,
                "free": int(point * whole),
                "how": how,
            }
            # Last with room enough, so that the next stage finds what it reads.
            for point in (*POINTS, 1000)
        ]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/full_disk.py")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    refused: dict[str, int] = {}
    for case, found in zip(cases, json.loads(done.stdout), strict=True):
        command = " ".join(case["command"])
        about = f"{command}, {case['free']:,} bytes free: {found}"
        refused.setdefault(command, 0)
        assert "Traceback" not in found["err"], about
        assert found["left"] == [], about
        if found["status"] == 0:  # pages, or a file system that packs: there was room
            assert found["there"] == case["outputs"], about
            continue
        refused[command] += 1
        lines = [line for line in found["err"].splitlines() if line.startswith("error: ")]
        assert found["status"] == 2 and len(lines) == 1, about
        assert re.search(r"No space left on device|File too large", lines[0]), about
        assert found["there"] == [], about
    assert set(refused.values()) <= set(range(1, len(POINTS) + 1)), refused


# What DVC leaves when it is killed.


def test_a_half_written_dvc_lock_is_mended_wherever_it_was_cut_and_nothing_runs_again(
    reference: Reference, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(reference.folder, folder)
    whole = (folder / "dvc.lock").read_bytes()
    mended = 0
    for cut in sorted(random.Random(0).sample(range(len(whole)), 24)):
        (folder / "dvc.lock").write_bytes(whole[:cut])
        said = recover(folder)
        with Repo(str(folder)) as repo:
            assert repo.index.stages  # else DVC would refuse every run
            for stage in repo.index.stages:
                assert stage.cmd
        if said:
            assert said.startswith("dvc.lock: half-written") and said.count("\n") == 1
            mended += 1
    # Most cuts leave a shorter file that DVC can read: what it lacks comes from the run-cache.
    assert mended
    (folder / "dvc.lock").write_bytes(whole[: len(whole) // 2 + 3])
    (folder / ".dvc/tmp/rwlock").write_text("")
    run(["dvc", "repro"], folder, fails=True)
    assert ".dvc/tmp/rwlock: half-written" in recover(folder)
    assert stages_run(run(["dvc", "repro"], folder)) == set()
    assert (folder / "dvc.lock").read_bytes() == whole


def test_files_of_a_living_dvc_are_left_alone_and_a_whole_state_is_not_touched(
    reference: Reference, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(reference.folder, folder)
    run([sys.executable, "-m", "stages.io.recovery"], folder)
    assert (
        run(["git", "status", "--porcelain", "dvc.lock"], folder).stdout
        == run(["git", "status", "--porcelain", "dvc.lock"], reference.folder).stdout
    )
    (folder / ".dvc/tmp/rwlock").write_text("")
    living = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)", "dvc"], cwd=folder
    )
    said = recover(folder)
    living.kill()
    living.wait()
    assert said == "" and (folder / ".dvc/tmp/rwlock").read_text() == ""


# Kills.


def moments(stages: list[str]) -> dict[str, list[tuple[float, bool]]]:
    """Returns for each stage when it is killed, in shares of its time, and whether DVC alone is."""
    rng = random.Random(0)
    chosen = dict.fromkeys(stages, PER_STAGE) if PER_STAGE else FEW
    return {
        stage: [(rng.uniform(0, 1.1), number % 2 == 1) for number in range(count)]
        for stage, count in chosen.items()
    }


def forget(folder: Path, stages: list[str]) -> None:
    """Has DVC run stages again that have come to their end."""
    path = folder / "dvc.lock"
    if path.exists():
        lock = YAML(typ="safe").load(path)
        lock["stages"] = {name: it for name, it in lock["stages"].items() if name not in stages}
        YAML().dump(lock, path)
    shutil.rmtree(folder / ".dvc/cache/runs", ignore_errors=True)


def test_killed_at_any_moment_the_next_run_ends_with_the_same_bytes_and_metrics(
    reference: Reference, start: Path
) -> None:
    folder = start.with_name("killed")
    shutil.copytree(start, folder)
    left = moments(list(reference.seconds))
    kills: dict[str, int] = {}
    mended, ended = "", False
    while not ended:
        mended += recover(folder)
        forget(folder, [stage for stage, its in left.items() if its])
        with started_repro(folder) as repro:
            stage = next((name for name in stages_begun(folder, repro) if left.get(name)), None)
            if stage is None:
                ended = True
                assert repro.wait() == 0, output(folder)
            else:
                share, alone = left[stage].pop()
                wait = share * reference.seconds[stage]
                sleep_at_most_to_the_stages_end(folder, repro, wait)
                if alone:
                    repro.kill()
                else:
                    with suppress(ProcessLookupError):  # it has just ended
                        os.killpg(repro.pid, signal.SIGKILL)
                kills[stage] = kills.get(stage, 0) + 1
        assert "Traceback" not in output(folder), output(folder)
    print(f"{sum(kills.values())} kills: {kills}\n{mended}")
    wanted = dict.fromkeys(reference.seconds, PER_STAGE) if PER_STAGE else FEW
    assert kills == wanted
    assert contents(folder, "data/plan", "data/raw", "data/interactions", "data/codes") == contents(
        reference.folder, "data/plan", "data/raw", "data/interactions", "data/codes"
    )
    for name in ("data/prompts", "models/llm", "models/adapters", "data/predictions"):
        assert contents(folder, name) == contents(reference.folder, name), name
    assert metrics(folder) == metrics(reference.folder)
    assert run(["dvc", "status"], folder).stdout == "Data and pipelines are up to date.\n"
    assert not list((folder / ".scratch").glob("*-*"))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_stage_that_outlives_its_dvc_never_writes_into_the_next_run(
    reference: Reference, tmp_path: Path, share: float
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(reference.folder, folder)
    before = (folder / "params.yaml").read_bytes()
    set_params(folder, {"preprocess.keep_history": 3})
    with started_repro(folder) as repro:
        assert "preprocess" in stages_begun(folder, repro)
        time.sleep(share * reference.seconds["preprocess"])
        repro.kill()  # alone
    (folder / "params.yaml").write_bytes(before)
    recover(folder)
    assert stages_run(run(["dvc", "repro"], folder)) == set()
    time.sleep(2)
    names = ("data/interactions", "metrics")
    assert contents(folder, *names) == contents(reference.folder, *names)


def contents(folder: Path, *names: str) -> dict[str, bytes]:
    """Returns all files but partial ones, which the next writer removes."""
    found = [path for name in names for path in sorted((folder / name).rglob("*"))]
    found = [path for path in found if path.suffix != ".partial"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if path.is_file()}


def metrics(folder: Path) -> dict[str, object]:
    """Returns all metrics but for seconds and what follows from them."""

    def timeless(value: object) -> object:
        if isinstance(value, dict):
            return {k: timeless(v) for k, v in value.items() if "second" not in k}
        return value

    return {
        str(path.relative_to(folder)): timeless(json.loads(path.read_text()))
        for path in (folder / "metrics").rglob("*.json")
    }
