"""Runs stages on a disk that fills up: a program for tests, started in a project's folder.

Standard input holds a list of cases: a stage's command, its outputs, the bytes that are free when
it starts, and `how` that is brought about: `disk` (a file fills the disk up to then) or `limit`
(the system refuses larger files). Prints a list of what came of each: exit status, what the stage
wrote to standard error, which outputs are there, and what else it left beside them.
"""

import json
import os
import resource
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

# What stages import, once for all of them; none of it starts a thread.
import matplotlib.figure  # noqa: F401
import pandas  # noqa: F401
import peft  # noqa: F401
import pyarrow.parquet  # noqa: F401
import sklearn.linear_model  # noqa: F401
import torch  # noqa: F401
import transformers  # noqa: F401

FILLER = Path("filler")


def main() -> None:
    results = []
    for case in json.load(sys.stdin):
        outputs = [Path(name) for name in case["outputs"]]
        for path in (*outputs, *Path(".scratch").glob("[!dl]*-*")):
            remove(path)
        if case["how"] == "disk":
            fill(case["free"])
        with tempfile.TemporaryFile("w+") as err:
            status = run(case["command"], err.fileno(), case)
            err.seek(0)
            printed = err.read()
        remove(FILLER)
        results.append(
            {
                "status": status,
                "err": printed,
                "there": [path.as_posix() for path in outputs if path.exists()],
                "left": [str(p) for p in Path().rglob(".*.partial") if ".scratch" not in p.parts],
            }
        )
    json.dump(results, sys.stdout)


def run(command: list[str], err: int, case: dict) -> int:
    """Runs `python -m …` in a copy of this process; returns its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.dup2(err, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if case["how"] == "limit":
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (case["free"], hard))
    sys.argv = command
    status = 0
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stderr.flush()
    os._exit(status)


def fill(free: int) -> None:
    """Leaves `free` bytes on the disk."""
    left = shutil.disk_usage(".").free - free
    with FILLER.open("wb") as file:
        while left > 0:
            file.write(bytes(min(left, 1 << 20)))
            left -= 1 << 20


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
