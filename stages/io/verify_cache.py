"""Verifies DVC's cache and the outputs in the workspace: `python -m stages.io.verify_cache`.

DVC hashes a file once and trusts it afterwards: a bit that flips on the disk is restored and called
up to date. Here each object of the cache is hashed and held against its name, and each file of an
output against `dvc.lock`; what differs is told with the output and the stage that wrote it. Takes
two seconds of CPU time per gigabyte. `--repair` removes the damaged copies: `dvc repro` then makes
them anew, and `dvc pull` brings them where a remote has them. Exit status: 0 sound, 1 damaged.
"""

import argparse
import hashlib
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo

from stages.io.errors import InputError, run_stage
from stages.io.progress import Progress

_OBJECT = re.compile(r"([0-9a-f]{32})(\.dir)?")


@dataclass(frozen=True)
class Copy:
    """A file of an output, as it lies in the cache or in the workspace.

    Attributes:
        path: where it lies.
        md5: what its content must have.
        outputs: of which outputs it is a part, and the stages that write them, for messages.
        folders: for the list of an output's files: the output, which cannot be verified without.
    """

    path: Path
    md5: str
    outputs: tuple[str, ...]
    folders: tuple[Path, ...] = ()

    def is_damaged(self) -> bool:
        """Returns whether its content is another."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest() != self.md5

    def remove(self) -> None:
        """Removes the file, and folders that only it could vouch for."""
        self.path.unlink()
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


def copies(root: Path) -> list[Copy]:
    """Returns all objects of the cache, and the files of outputs that are in the workspace.

    Raises:
        InputError: there is no DVC project, or its files cannot be read.
    """
    try:
        repo = Repo(str(root))
        outputs = [out for out in repo.index.outs if out.use_cache and out.hash_info]
        cache = repo.cache.local
        named: dict[str, set[str]] = defaultdict(set)
        listed = {out.hash_info.value: Path(out.fs_path) for out in outputs if out.hash_info.isdir}
        files = []
        for out in outputs:
            label = f"{_shown(Path(out.fs_path), root)} (stage {out.stage.name})"
            for path, md5 in _files(out):
                named[md5].add(label)
                if path.is_file():
                    files.append(Copy(path, md5.removesuffix(".dir"), (label,)))
        for name in cache.all():
            if found := _OBJECT.fullmatch(name):
                labels = tuple(sorted(named[name])) or ("no output of the present dvc.lock",)
                folders = (listed[name],) if name in listed else ()
                files.append(Copy(Path(cache.oid_to_path(name)), found[1], labels, folders))
    except (DvcException, OSError, ValueError) as error:
        raise InputError(f"{root}: {error}") from None
    return files


def _files(out: Any) -> Iterable[tuple[Path, str]]:
    """Yields the files of an output in the workspace with the names of their objects.

    A folder has an object of its own, which lists its files and lies in the cache alone.
    """
    place = Path(out.fs_path)
    if not out.hash_info.isdir:
        yield place, out.hash_info.value
        return
    yield place, out.hash_info.value
    listing = out.get_obj()  # None where the cache lacks it, or holds a damaged one
    for key, _, hash_info in listing or ():
        yield place.joinpath(*key), hash_info.value


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root.resolve()).as_posix() if path.is_absolute() else path.as_posix()


def verify(root: Path, *, repair: bool) -> bool:
    """Hashes all copies, prints the damaged ones; returns whether all are sound.

    Args:
        root: the project.
        repair: remove the damaged ones.
    """
    found = copies(root)
    sizes = [copy.path.stat().st_size for copy in found]
    progress = Progress("verify", sum(sizes), "bytes")
    damaged = []
    for copy, size in zip(found, sizes, strict=True):
        if copy.is_damaged():
            damaged.append(copy)
        progress.advance(size)
    progress.close()
    for copy in damaged:
        print(f"damaged: {_shown(copy.path, root)}, of {', '.join(copy.outputs)}")
        if repair:
            copy.remove()
    print(f"{len(found)} files verified, {len(damaged)} damaged")
    if damaged:
        remedy = "removed; run" if repair else "run again with --repair, then"
        print(f"{remedy} `dvc repro` (or `dvc pull`, where a remote has them)")
    return not damaged


def main() -> None:
    """Verifies the project in the working folder."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.io.verify_cache",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repair", action="store_true", help="remove the damaged copies")
    if not verify(Path.cwd(), repair=parser.parse_args().repair):
        sys.exit(1)


if __name__ == "__main__":
    run_stage(main)
