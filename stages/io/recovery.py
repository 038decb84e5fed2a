"""Mends what a killed DVC left half-written, so that the next one starts.

python -m stages.io.recovery        # `make repro` does it before `dvc repro`

DVC rewrites two of its files in place while it runs. Cut there, `.dvc/tmp/rwlock`, who reads and
writes what at the moment, is empty, or `dvc.lock`, what each stage was last made of, ends in the
middle; either has DVC refuse every further run. The first is void without a DVC at work. The second
is taken from git: what has run since then lies in DVC's run-cache and does not run again.

Partial outputs of stages that were killed go as well: nobody else looks for them where their stage
does not run again.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import YAMLFileCorruptedError, parse_yaml
from voluptuous import Invalid

from stages.io.errors import run_stage
from stages.io.outputs import SCRATCH, remove_if_left, replacing

_RWLOCK = Path(".dvc/tmp/rwlock")
_LOCK = Path("dvc.lock")
_DAMAGED = Path(".dvc/tmp/dvc.lock.damaged")
_MERGING = "<<<<<<<"
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_WRITTEN = (SCRATCH, Path("data"), Path("metrics"), Path("models"))


def main() -> None:
    """Mends both files, unless a DVC is at work here: it may be writing them; clears up."""
    if (_rwlock_fault() or not _lock_is_whole()) and not _dvc_at_work(Path.cwd()):
        fault = _rwlock_fault()
        if fault:
            _RWLOCK.unlink()
            _say(f"{_RWLOCK}: {fault}; removed, no DVC is at work here")
        _mend_lock()
    for folder in _WRITTEN:
        for partial in list(folder.rglob(".*.partial")):
            remove_if_left(partial)


def _mend_lock() -> None:
    if _lock_is_whole():
        return
    _DAMAGED.parent.mkdir(parents=True, exist_ok=True)
    _LOCK.replace(_DAMAGED)
    kept = f"the damaged one is {_DAMAGED}"
    shown = subprocess.run(["git", "show", f"HEAD:./{_LOCK}"], capture_output=True, check=False)
    if shown.returncode:
        _say(f"{_LOCK}: half-written by a DVC that was killed, and not in git; removed ({kept})")
        return
    with replacing(_LOCK) as partial:
        partial.write_bytes(shown.stdout)
    _say(
        f"{_LOCK}: half-written by a DVC that was killed; taken from git ({kept}). "
        "What has run since comes from the run-cache"
    )


def _rwlock_fault() -> str | None:
    """Returns what is wrong with it if no DVC is at work; else it may well be in use."""
    try:
        held = json.loads(_RWLOCK.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return "half-written by a DVC that was killed"
    # DVC looks for the holder by its process id, which another program may have by now.
    return "names a DVC that was killed" if held else None


def _lock_is_whole() -> bool:
    """Returns whether DVC can read it; one with marks of a merge is the user's to mend."""
    try:
        text = _LOCK.read_text(encoding="utf-8")
    except FileNotFoundError:
        return True
    except UnicodeDecodeError:
        return False
    if _MERGING in text:
        return True
    try:
        lock = COMPILED_LOCKFILE_SCHEMA(parse_yaml(text, str(_LOCK)))
    except (YAMLFileCorruptedError, Invalid):
        return False
    # DVC's schema takes anything for a hash, and one cut after its digits is a number to YAML.
    return all(
        _MD5.fullmatch(str(file.get("md5")))
        for stage in lock.get("stages", {}).values()
        for file in [*stage.get("deps", []), *stage.get("outs", [])]
    )


def _dvc_at_work(root: Path) -> bool:
    """Returns whether a process of DVC has its working folder in `root`."""
    for process in psutil.process_iter():
        try:
            words = [Path(word).name for word in process.cmdline()[:4]]
            here = Path(process.cwd())
        except (psutil.Error, OSError):
            continue
        if "dvc" in words and (here == root or root in here.parents) and process.pid != os.getpid():
            return True
    return False


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    run_stage(main)
