"""A damaged cache: each flipped object is found and named, repaired, and made anew by DVC."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages.io.errors import InputError
from stages.io.verify_cache import copies, verify
from tests.refusals import assert_one_line

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = """
stages:
  make_folder:
    cmd: mkdir out && echo a > out/a && echo b > out/b && echo ran >> runs
    deps: [source]
    outs: [out]
  make_file:
    cmd: cat out/a out/b > whole && echo ran >> runs
    deps: [out]
    outs: [whole]
"""


def dvc(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "dvc", *words]
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder / "s")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def project_in(folder: Path) -> Path:
    """Makes a pipeline of two stages that has run."""
    folder.mkdir()
    dvc(folder, "init", "--no-scm", "--quiet")
    (folder / "source").write_text("x")
    (folder / "dvc.yaml").write_text(PIPELINE)
    dvc(folder, "repro")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project_in(tmp_path_factory.mktemp("verify") / "project")


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "project"))


def objects(project: Path) -> dict[str, Path]:
    """The objects of the cache by their content."""
    paths = (project / ".dvc/cache/files/md5").rglob("*")
    return {path.read_text(): path for path in paths if path.is_file()}


def damage(path: Path) -> None:
    """Changes a byte as a failing disk does: size, times and permissions stay."""
    state = path.stat()
    raw = bytearray(path.read_bytes())
    raw[0] ^= 1
    path.chmod(0o644)
    path.write_bytes(raw)
    path.chmod(state.st_mode)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_a_sound_project_is_called_sound(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(project, repair=False)
    assert capsys.readouterr().out == "7 files verified, 0 damaged\n"
    assert len(copies(project)) == 7  # out/a, out/b and whole, twice, and the folder's list


def test_a_damaged_object_is_named_and_removed_on_demand(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = objects(project)["a\nb\n"]
    damage(path)
    assert not verify(project, repair=False)
    printed = capsys.readouterr().out.splitlines()
    shown = path.relative_to(project).as_posix()
    assert printed[0] == f"damaged: {shown}, of whole (stage make_file)"
    assert "--repair" in printed[-1] and path.exists()
    assert not verify(project, repair=True)
    assert not path.exists()
    assert verify(project, repair=False)


def test_an_object_that_no_present_output_has_is_verified_as_well(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those of other experiments, to which one may go back."""
    lock = (project / "dvc.lock").read_text()
    kept = lock[: lock.index("  make_file:")]
    (project / "dvc.lock").write_text(kept)
    damage(objects(project)["a\nb\n"])
    assert not verify(project, repair=False)
    assert "of no output of the present dvc.lock" in capsys.readouterr().out


def test_an_output_whose_list_of_files_is_damaged_is_removed_whole(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the list, nothing vouches for its files."""
    path = next(path for text, path in objects(project).items() if text.startswith("[{"))
    damage(path)
    damage(project / "out/b")
    assert not verify(project, repair=True)
    assert "of out (stage make_folder)" in capsys.readouterr().out
    assert not path.exists() and not (project / "out").exists()


@pytest.mark.slow
def test_dvc_makes_anew_what_was_damaged_in_cache_and_workspace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = project_in(tmp_path / "project")
    damage(project / "out/b")
    damage(objects(project)["b\n"])
    (project / "whole").unlink()
    damage(objects(project)["a\nb\n"])
    assert "make_folder" not in dvc(project, "status")  # DVC does not see it
    assert not verify(project, repair=True)
    printed = capsys.readouterr().out
    assert "damaged: whole" not in printed
    assert "3 damaged" in printed
    assert not (project / "out/b").exists()
    dvc(project, "repro")
    assert (project / "out/b").read_text() == "b\n"
    assert (project / "whole").read_text() == "a\nb\n"
    assert verify(project, repair=False)


def test_the_command_exits_with_status_1_on_damage_and_2_without_a_project(
    project: Path, tmp_path: Path
) -> None:
    damage(project / "whole")
    command = [sys.executable, "-m", "stages.io.verify_cache"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for folder, status in ((project, 1), (tmp_path, 2)):
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: ")


def test_what_is_no_project_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError):
        copies(tmp_path)
    assert_one_line(capsys, lambda: print(copies(tmp_path)), str(tmp_path))
