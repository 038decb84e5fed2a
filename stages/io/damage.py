"""Files that changed since a stage wrote them: noticed when they are read, told in one line.

Parquet carries a checksum for each of its pages. Safetensors carry none, so a folder that holds
some gets `sha256.json` with the digests of all its files: an LLM, an adapter, learned codes.
Hashing costs a tenth of a second per 200 MB.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.io.errors import InputError

DIGESTS = "sha256.json"
LOCK = Path("dvc.lock")
REPAIR = "python -m stages.io.verify_cache --repair"


def write_digests(folder: Path) -> None:
    """Writes the SHA-256 of each file of a folder, by path below it, to `sha256.json` there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): _sha256(path) for path in files}
    found.pop(DIGESTS, None)
    text = json.dumps(found, indent=2) + "\n"
    (folder / DIGESTS).write_text(text, encoding="utf-8")


def check_digest(path: Path) -> None:
    """Compares a file with what its folder's `sha256.json` says, where there is one that names it.

    Raises:
        InputError: the file, or `sha256.json`, is damaged.
    """
    _compare(path, _listed(path.parent))


def _compare(path: Path, listed: dict[str, str]) -> None:
    expected = listed.get(path.name) if path.is_file() else None
    if expected is None:
        return
    found = _sha256(path)
    if found != expected:
        raise damaged(path, f"sha256 is {found[:12]}…, and was {str(expected)[:12]}… when written")


def check_digests(folder: Path) -> None:
    """Compares all files of a folder with its `sha256.json`, where there is one.

    Raises:
        InputError: a file that it names is damaged or gone.
    """
    listed = _listed(folder)
    present = {path.name for path in folder.glob("*")}
    for name in sorted(listed):
        # Names of a damaged list may be anything: none is joined to a path.
        if "/" not in name and name not in present:
            raise damaged(folder / DIGESTS, f"it names {name!r}, which is gone")
    for path in sorted(folder.glob("*")):
        _compare(path, listed)


def _listed(folder: Path) -> dict[str, str]:
    """Returns file -> SHA-256, as the folder's `sha256.json` says; nothing where there is none."""
    listing = folder / DIGESTS
    try:
        known = json.loads(listing.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(listing, f"no list of digests: {error}") from None
    if not isinstance(known, dict):
        raise damaged(listing, "no list of digests: expected a JSON object")
    return known


def damaged(path: Path, reason: str) -> InputError:
    """Returns the error for a stage's output that cannot be what the stage wrote.

    It names the stage, and the command that takes the damaged copies away, in the workspace and in
    DVC's cache; without that, DVC would trust them, or bring them back.
    """
    stage = _maker(path)
    again = f"`dvc repro` (stage {stage})" if stage else "`dvc repro`"
    return InputError(f"{path}: damaged: {reason}; run `{REPAIR}`, then {again}")


def _maker(path: Path) -> str | None:
    """Returns the stage that writes a file, by `dvc.lock`; None where that does not say."""
    places = {path.as_posix(), *(parent.as_posix() for parent in path.parents)}
    return next((stage for out, stage in _outputs().items() if out in places), None)


@cache
def _outputs() -> dict[str, str]:
    try:
        stages = YAML(typ="safe", pure=True).load(LOCK)["stages"]
        return {out["path"]: name for name, stage in stages.items() for out in stage["outs"]}
    except (OSError, ValueError, KeyError, TypeError, YAMLError):
        return {}  # not written yet, or damaged itself: the line does without the stage's name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
