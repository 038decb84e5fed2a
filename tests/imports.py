"""Which first-party files modules are made of: the tests' own way, beside stages/io/sources.py."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def files_of(*modules: str) -> set[str]:
    """Returns the source files behind modules, relative to the root, followed through imports.

    Packages count with their `__init__.py`, which Python runs on the way to what lies in them.
    """
    found: set[Path] = set()
    names = set(modules)
    seen: set[str] = set()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        parts = name.split(".")
        for n in range(1, len(parts) + 1):
            place = ROOT / Path(*parts[:n])
            for path in (place / "__init__.py", place.with_suffix(".py")):
                if path.is_file() and path not in found:
                    found.add(path)
                    names |= _imported(path)
    return {path.relative_to(ROOT).as_posix() for path in found}


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] == "stages"}
