"""Where long work keeps what it has so far: a folder named by a hash of its inputs.

Tracked outputs are written once, at the end. What a cut run had done lies here and is found again
only by a run with the very same inputs.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stages.io.errors import InputError

SCRATCH = Path(".scratch")


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
