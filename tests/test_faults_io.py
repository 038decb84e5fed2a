"""Faults of disks, other writers, damaged files and Ctrl-C, injected for real into what writes."""

import errno
import io
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.figure
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from refusals import assert_one_line
from safetensors.torch import save_file

from stages.io import recovery
from stages.io.errors import InputError, refusal, run_stage, shortened
from stages.io.locks import alone
from stages.io.outputs import once_written, replacing, together
from stages.io.scratch import finished, keep, kept

ROOT = Path(__file__).resolve().parent.parent
KB = 1024


# A disk that takes no more: what the libraries make of it is one line.


def picture(path: Path) -> None:
    figure = matplotlib.figure.Figure(figsize=(8, 8))
    figure.subplots().imshow(np.random.default_rng(0).random((400, 400)))
    figure.savefig(path, format="png", dpi=200)


def copied(path: Path) -> None:
    path.mkdir()
    font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    shutil.copyfile(font, path / "copy")


NOISE = np.random.default_rng(0).random(50_000)
WRITERS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("x" * 400 * KB),
    "numpy": lambda path: np.save(path.open("wb"), NOISE),
    "pandas": lambda path: pd.DataFrame({"x": NOISE}).to_csv(path),
    "parquet": lambda path: pq.write_table(pa.table({"x": NOISE}), path),
    "torch": lambda path: torch.save(torch.from_numpy(NOISE), path),
    "safetensors": lambda path: save_file({"x": torch.from_numpy(NOISE)}, path),
    "picture": picture,
    "copy in a folder": copied,
}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Has the system refuse files above `size` bytes, as `ulimit -f` does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def written(path: Path, writer: Callable[[Path], object]) -> Callable[[], None]:
    def main() -> None:
        with replacing(path) as partial:
            writer(partial)

    return main


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_whatever_library_meets_it(
    small_disk: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = small_disk / "out"
    message = f"error: {path}: No space left on device; "
    assert_one_line(capsys, written(path, WRITERS[name]), message)
    assert list(small_disk.iterdir()) == []


# These two do not say what was refused, and here is room enough.
@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"torch", "numpy"}))
def test_a_limit_on_files_is_one_line_whatever_library_meets_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = tmp_path / "out"
    with largest_file(64 * KB):
        assert_one_line(capsys, written(path, WRITERS[name]), f"error: {path}: File too large; ")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_with_the_room_that_is_left(tmp_path: Path) -> None:
    line = refusal(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "new/out")))
    free = shutil.disk_usage(tmp_path).free / 1e9
    assert abs(float(line.split("; ")[1].removesuffix(" GB left there")) - free) < 1


def test_a_read_only_disk_is_one_line(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    main = written(small_disk / "folder/out", lambda path: path.write_text("x"))
    assert_one_line(capsys, main, f"error: {small_disk}/folder: Read-only file system; ")


def test_a_name_too_long_is_one_short_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = written(tmp_path / ("x" * 300), lambda path: path.write_text("x"))
    with pytest.raises(SystemExit):
        run_stage(main)
    printed = capsys.readouterr().err
    assert "File name too long; choose a shorter name" in printed
    assert printed.count("\n") == 1 and len(printed) < 250


def test_a_file_where_a_folder_should_be_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").write_text("a file")
    main = written(tmp_path / "data/out", lambda path: path.write_text("x"))
    assert_one_line(capsys, main, f"error: {tmp_path}/data: File exists")


@pytest.mark.parametrize("longest", [3, 40, 41])
def test_a_long_text_keeps_its_ends_and_no_more_characters_than_it_may(longest: int) -> None:
    text = "".join(chr(0x4E00 + place) for place in range(100))
    for length in (0, longest - 1, longest):
        assert shortened(text[:length], longest) == text[:length]
    begin, _, end = shortened(text, longest).partition("…")
    assert longest - 1 <= len(begin) + 1 + len(end) <= longest
    assert begin and text.startswith(begin) and end and text.endswith(end)


def test_an_error_of_the_programs_own_stays_what_it_is(tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        try:
            Path("nowhere").read_text()
        except FileNotFoundError:
            raise KeyError("a bug") from None

    with pytest.raises(KeyError, match="a bug"):
        written(tmp_path / "out", fails)()


@pytest.mark.parametrize("to", ["stdout", "stderr"])
def test_output_that_nobody_takes_is_no_traceback(to: str) -> None:
    program = "from stages.io.errors import run_stage; run_stage(lambda: print('x' * 100000))"
    if to == "stderr":
        program = (
            "from stages.io.progress import Progress; p = Progress('x', 9, every=0.0);"
            "p.advance(1); p.close(); print('done')"
        )
    with Path("/dev/full").open("w") as full:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, to: full}
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, **streams)
    if to == "stdout":
        assert done.returncode == 2
        assert done.stderr == b"error: No space left on device; make room and run again\n"
    else:
        assert (done.returncode, done.stdout) == (0, b"done\n")


# Outputs of a stage appear together.


def two_outputs(folder: Path, then: Callable[[], object] = lambda: None) -> None:
    with together():
        for name in ("first", "second"):
            with replacing(folder / name) as partial:
                partial.write_text(name)
        assert not list(folder.glob("[!.]*"))
        then()


def test_outputs_of_a_stage_appear_together_or_not_at_all(tmp_path: Path) -> None:
    def fails() -> None:
        raise InputError("the third one")

    with pytest.raises(InputError):
        two_outputs(tmp_path, fails)
    assert list(tmp_path.iterdir()) == []
    two_outputs(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "first": "first",
        "second": "second",
    }


def test_what_follows_outputs_waits_for_them(tmp_path: Path) -> None:
    seen: list[list[str]] = []
    names = lambda: sorted(path.name for path in tmp_path.iterdir())  # noqa: E731
    two_outputs(tmp_path, lambda: once_written(lambda: seen.append(names())))
    assert seen == [["first", "second"]]


def test_checkpoints_do_not_wait_for_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with together():
        keep(b"work", Path(".scratch/job/checkpoint.pt"))
        assert bytes(kept(Path(".scratch/job/checkpoint.pt")) or b"") == b"work"


# Damaged checkpoints.


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "cut by a byte": lambda whole: whole[:-1],
    "a bit flipped": lambda whole: whole[:-5] + bytes([whole[-5] ^ 4]) + whole[-4:],
    "longer": lambda whole: whole + b"\0",
    "zeros, as after a power cut": lambda whole: bytes(len(whole)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_counts_as_none_with_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    path = tmp_path / "checkpoint.pt"
    content = io.BytesIO()
    torch.save({"weights": torch.arange(100)}, content)
    keep(content.getbuffer(), path)
    assert bytes(kept(path) or b"") == content.getvalue() and capsys.readouterr().err == ""
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert kept(path) is None
    assert capsys.readouterr().err == f"{path}: damaged, so what it held is done again\n"


def test_a_finished_job_leaves_no_scratch_of_other_inputs_and_that_of_other_jobs(
    tmp_path: Path,
) -> None:
    names = [
        "train-text-0123456789abcdef",
        "train-text-00000000000000ff",
        "train-codes-" + "0" * 16,
    ]
    for name in (*names, "train-text-more-" + "0" * 16, "downloads"):
        (tmp_path / name).mkdir()
    finished(tmp_path / names[0])
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {names[2], "train-text-more-" + "0" * 16, "downloads"}


# Two writers.


def test_two_writers_of_one_file_never_share_a_partial_one(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # whole, and of who ended last
    assert list(tmp_path.iterdir()) == [path]


def test_another_living_writers_partial_file_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / f".out.{os.getppid()}-01234567.partial"
    dead = tmp_path / ".out.4194999-01234567.partial"  # above the largest process id
    similar = tmp_path / ".out.parquet.4194999-01234567.partial"
    for path in (other, dead, similar):
        path.write_text("half")
    with replacing(tmp_path / "out") as partial:
        partial.write_text("whole")
    assert {path.name for path in tmp_path.iterdir()} == {"out", other.name, similar.name}


def test_recovery_removes_partial_files_of_the_dead_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dead = [
        Path(f"{folder}/.{name}.4194999-01234567.partial")
        for folder, name in (
            ("data", "raw"),
            ("data/predictions", "codes.parquet"),
            ("models/adapters", "text"),
            ("metrics", "main.json"),
            (".scratch/downloads", "unpacked"),
        )
    ]
    others = [
        Path(f"data/.raw.{os.getppid()}-01234567.partial"),
        Path(".scratch/downloads/file.zip.0123456789abcdef.partial"),  # to be gone on with
        Path("models/own.4194999-01234567.partial"),
    ]
    for path in (*dead, *others):
        (path / "in").mkdir(parents=True)
        (path / "in/.file.4194999-01234567.partial").write_text("half")
    recovery.main()
    assert [path for path in dead if path.exists()] == []
    assert [path for path in others if not path.exists()] == []
    recovery.main()


def test_a_lock_cut_within_a_hash_is_taken_from_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (ROOT / "dvc.lock").read_text()
    monkeypatch.chdir(tmp_path)
    Path("dvc.lock").write_text(whole)
    for command in ("init", "add dvc.lock", "-c user.name=a -c user.email=a@b commit -m a"):
        subprocess.run(["git", *command.split()], check=True, capture_output=True)
    recovery.main()
    assert capsys.readouterr().err == ""
    hashes = [found.start(1) for found in re.finditer(r" md5: (\w+)", whole)]
    after_digits = next(at for at in hashes if whole[at : at + 2].isdigit()) + 2  # a number to YAML
    after_letters = next(at for at in hashes if whole[at : at + 2].isalpha()) + 2
    for cut in (after_digits, after_letters, hashes[-1] + 31):
        Path("dvc.lock").write_text(whole[:cut])
        recovery.main()
        assert Path("dvc.lock").read_text() == whole
        assert capsys.readouterr().err.startswith("dvc.lock: half-written")


HOLD = """
import sys, time
from stages.io.errors import run_stage
from stages.io.locks import alone
def main():
    with alone("stages.x.text", patience=float(sys.argv[1])):
        print("held", flush=True)
        time.sleep(float(sys.argv[2]))
run_stage(main)
"""


def holder(folder: Path, patience: float, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(patience), str(seconds)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_second_of_two_equal_stages_is_told_who_is_at_work(tmp_path: Path) -> None:
    first = holder(tmp_path, 0, 60)
    assert first.stdout and first.stdout.readline() == "held\n"
    second = holder(tmp_path, 0.3, 0)
    out, err = second.communicate(timeout=60)
    first.kill()
    first.communicate()
    assert (second.returncode, out) == (2, "")
    waiting, refused = err.splitlines()
    assert (
        waiting == f"stages.x.text: waiting for process {first.pid}, which runs this stage already"
    )
    assert refused.startswith(f"error: stages.x.text: process {first.pid} runs this stage already")


def test_a_killed_stage_holds_nothing_and_its_successor_waits_for_it(tmp_path: Path) -> None:
    first = holder(tmp_path, 0, 60)
    assert first.stdout and first.stdout.readline() == "held\n"
    second = holder(tmp_path, 30, 0)
    assert second.stderr and "waiting" in second.stderr.readline()
    first.kill()
    first.communicate()
    assert second.wait(timeout=60) == 0
    second.communicate()


def test_stages_of_other_items_run_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with alone("stages.x.text"), alone("stages.x.codes", patience=0):
        pass


# A stage whose DVC is gone.

UNDER_DVC = """
import os, subprocess, sys, time
environment = {**os.environ, "DVC_STAGE": "x"} if sys.argv[1] == "dvc" else dict(os.environ)
command = [sys.executable, "-c", sys.argv[3]]
if sys.argv[2] == "shell":  # one that stays between
    command = ["/bin/sh", "-c", '"$@"; exit $?', "sh", *command]
subprocess.Popen(command, env=environment)
time.sleep(60)
"""
ORPHAN = """
import time
from pathlib import Path
from stages.io.command import run_alone
from stages.io.outputs import replacing
from stages.io.scratch import keep
def main():
    keep(b"work", Path(".scratch/job/checkpoint"))
    with replacing(Path("out")) as partial:
        partial.write_text("whole")
    with replacing(Path("folder")) as partial:
        partial.mkdir()
        Path("begun").write_text("")
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:  # also while it is removed
            (partial / "file").write_text("half")
run_alone(main, "stages.x")
Path("ended").write_text("")
"""


@pytest.mark.parametrize("between", ["nothing", "shell"])
@pytest.mark.parametrize("started_by", ["dvc", "hand"])
def test_a_stage_ends_with_its_dvc_but_not_with_the_shell_it_was_started_from(
    tmp_path: Path, started_by: str, between: str
) -> None:
    program = ORPHAN.replace("SECONDS", "3" if started_by == "hand" else "40")
    starter = subprocess.Popen(
        [sys.executable, "-c", UNDER_DVC, started_by, between, program],
        cwd=tmp_path,
        env={**{k: v for k, v in os.environ.items() if k != "DVC_STAGE"}, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: (tmp_path / "begun").exists())
    starter.send_signal(signal.SIGKILL)
    _, err = starter.communicate(timeout=60)  # the pipe closes with the last process that has it
    names = {path.name for path in tmp_path.iterdir()} - {".scratch", "begun"}
    assert bytes(kept(tmp_path / ".scratch/job/checkpoint") or b"") == b"work"
    if started_by == "hand":
        assert names == {"out", "folder", "ended"} and err == ""
    else:
        assert names == set()
        assert err.startswith("DVC, which started this stage, is gone") and err.count("\n") == 1


def test_a_stage_whose_dvc_is_gone_while_it_still_imports_never_begins(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    lines = ["from pathlib import Path", "import time", "Path('begun').write_text('')"]
    lines += ["time.sleep(40)", "Path('ended').write_text('')", ""]
    (slow / "torch.py").write_text("\n".join(lines))
    program = UNDER_DVC.replace('"-c", sys.argv[3]', '"-m", sys.argv[3], "text"')
    starter = subprocess.Popen(
        [sys.executable, "-c", program, "dvc", "nothing", "stages.train_lora"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{slow}{os.pathsep}{ROOT}"},
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: (tmp_path / "begun").exists())
    starter.kill()
    _, err = starter.communicate(timeout=60)
    assert err.startswith("DVC, which started this stage, is gone") and err.count("\n") == 1
    assert not (tmp_path / "ended").exists()


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Ctrl-C.


def interrupted(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program that prints a line when it may be interrupted."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, out, err)


def test_ctrl_c_is_one_line_and_leaves_no_half_output(tmp_path: Path) -> None:
    done = interrupted(
        """
        import time
        from pathlib import Path
        from stages.io.errors import run_stage
        from stages.io.outputs import replacing
        def main():
            with replacing(Path("out")) as partial:
                partial.write_text("half")
                print("now", flush=True)
                time.sleep(60)
        run_stage(main)
        """,
        tmp_path,
    )
    assert done.returncode == 130
    assert done.stderr == "stopped; checkpoints are kept, run again to go on\n"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_a_stage_still_imports_is_one_line(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "torch.py").write_text("import time\nprint('now', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.train_lora", "text"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{slow}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)
    assert err == "stopped; checkpoints are kept, run again to go on\n"
