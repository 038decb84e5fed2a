"""Which first-party files a stage's command reads, followed through its imports."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def files_of(stage: str) -> set[str]:
    """Returns the source files behind `python -m stages.<stage>`, relative to the root.

    The packages' `__init__.py` hold docstrings only (a test says so) and are left out, but for the
    stage's own.
    """
    start = set((ROOT / "stages" / stage).glob("__*__.py"))
    found: set[Path] = set()
    while start:
        path = start.pop()
        if path in found:
            continue
        found.add(path)
        start |= {file for name in _imported(path) if (file := _file(name)) is not None}
    return {path.relative_to(ROOT).as_posix() for path in found}


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] == "stages"}


def _file(name: str) -> Path | None:
    path = ROOT / Path(*name.split(".")).with_suffix(".py")
    return path if path.is_file() else None
