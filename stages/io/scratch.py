"""Where long work keeps what it has so far: a folder named by a hash of its inputs.

Tracked outputs are written once, at the end. What a cut run had done lies here and is found again
only by a run with the very same inputs.
"""

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stages.io.errors import InputError
from stages.io.outputs import SCRATCH, once_written, replacing


def scratch_folder(name: str, files: Iterable[Path], values: Mapping[str, Any]) -> Path:
    """Returns the scratch folder of one job; it may or may not exist.

    Args:
        name: the job's name.
        files: files and folders it reads.
        values: its parameters, and the digests of its sources (`stages.io.sources`).

    Raises:
        InputError: a file or folder is missing.
    """
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    for path in sorted(_files(files)):
        digest.update(f"\n{path.as_posix()} ".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return SCRATCH / f"{name}-{digest.hexdigest()[:16]}"


def keep(content: bytes | memoryview, path: Path) -> None:
    """Keeps work in a file of a scratch folder, with its digest, for `kept`."""
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(hashlib.sha256(content).digest())
        file.write(content)


def kept(path: Path) -> memoryview | None:
    """Returns what `keep` was given; None where there is nothing.

    A damaged file counts as nothing and is told in a line: that work is done again.
    """
    if not path.is_file():
        return None
    try:
        found = memoryview(path.read_bytes())
    except OSError:
        found = memoryview(b"")
    digest, content = found[:32], found[32:]
    if hashlib.sha256(content).digest() != digest:
        sys.stderr.write(f"{path}: damaged, so what it held is done again\n")
        return None
    return content


def finished(folder: Path, *, keep_own: bool = False) -> None:
    """Removes a job's scratch folder, and those of the same job with inputs that have changed.

    Not before the job's outputs are in their places: a cut until then finds its work again.

    Args:
        folder: the job's.
        keep_own: remove the others only.
    """
    name, _, _ = folder.name.rpartition("-")
    same_job = re.compile(rf"{re.escape(name)}-[0-9a-f]{{16}}")

    def remove() -> None:
        for other in folder.parent.glob("*"):
            if same_job.fullmatch(other.name) and not (keep_own and other.name == folder.name):
                shutil.rmtree(other, ignore_errors=True)

    once_written(remove)


def _files(paths: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found |= {file for file in path.rglob("*") if file.is_file()}
        elif path.is_file():
            found.add(path)
        else:
            raise InputError(f"{path}: no such file or folder; run `dvc repro`")
    return {file for file in found if "__pycache__" not in file.parts}
