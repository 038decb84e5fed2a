"""Which first-party files a stage's code is made of, found by following its imports.

`plan` writes them, with their digests, to the file that the stage depends on, so that DVC runs a
stage again for an edit of what it imports and of nothing else. A resumable stage names its
scratch folder by the same: a cut run's work is found again as long as DVC sees no change either.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = "stages"
_ROOT = Path(__file__).resolve().parents[2]


def import_closure(modules: Iterable[str], root: Path = _ROOT) -> dict[str, str]:
    """Returns the files behind modules: their own, those they import, and so on.

    Imports within functions and for type checking count as well; a package's `__init__.py` counts
    where anything of the package is imported, since Python runs it.

    Args:
        modules: dotted names below `stages`.
        root: the folder that holds `stages`.

    Returns:
        Path below `root` -> SHA-256, in order of paths.
    """
    found: dict[Path, bytes] = {}
    waiting = [path for name in modules for path in _files(name, root)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = path.read_bytes()
            waiting += [file for name in _imported(found[path]) for file in _files(name, root)]
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(found[path]).hexdigest()
        for path in sorted(found)
    }


def modules_below(package: str, root: Path = _ROOT) -> list[str]:
    """Returns the names of the modules that lie in a package's folder, packages left out."""
    folder = root.joinpath(*package.split("."))
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("__"))


@cache  # most stages share most of their files
def _imported(code: bytes) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.partition(".")[0] == PACKAGE]


def _files(name: str, root: Path) -> Iterator[Path]:
    """Yields a module's file and the `__init__.py` of the packages around it."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:depth])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                yield path
