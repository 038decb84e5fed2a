"""Sources behind a stage: imports are followed to all that Python loads, and point down only."""

import ast
import graphlib
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_table import documented_params

from stages import datasets, methods
from stages.io.sources import import_closure, modules_below
from stages.llm.method import LlmMethod

ROOT = Path(__file__).resolve().parent.parent
STAGES = ROOT / "stages"


# An invented package.


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / "stages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def closure(root: Path, *modules: str) -> list[str]:
    """Returns the files behind modules, relative to the invented package."""
    return [path.removeprefix("stages/") for path in import_closure(modules, root)]


@pytest.mark.parametrize(
    "line",
    [
        "import stages.room.used",
        "import stages.room.used as other",
        "import json, stages.room.used",
        "from stages.room import used",
        "from stages.room import used as other",
        "from stages.room.used import value",
        "from stages.room.used import *",
        "def later():\n    from stages.room import used",
        "def later():\n    def even_later():\n        import stages.room.used",
        "class Lazy:\n    from stages.room import used",
        "if TYPE_CHECKING:\n    from stages.room.used import value",
        "try:\n    import stages.room.used\nexcept ImportError:\n    pass",
        "if False:\n    pass\nelse:\n    import stages.room.used",
        "from stages.room import (\n    used,\n)",
    ],
)
def test_a_module_is_found_however_it_is_imported(tmp_path: Path, line: str) -> None:
    write(tmp_path, {"one.py": line, "room/used.py": "value = 1", "room/unused.py": "value = 2"})
    assert closure(tmp_path, "stages.one") == ["one.py", "room/used.py"]


@pytest.mark.parametrize(
    "line",
    [
        "import json",
        "import stages_of_others.room.used",
        "from stagesroom import used",
        "# import stages.room.used",
        "text = 'import stages.room.used'",
        "from other.stages.room import used",
    ],
)
def test_what_is_not_of_the_package_is_not_followed(tmp_path: Path, line: str) -> None:
    write(tmp_path, {"one.py": line, "room/used.py": "", "room.py": ""})
    for path in ("json.py", "stages_of_others/room/used.py", "stagesroom/used.py", "other/x.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert closure(tmp_path, "stages.one") == ["one.py"]


def test_imports_are_followed_to_their_end_and_no_further(tmp_path: Path) -> None:
    files = {
        "one.py": "import stages.a.first",
        "a/first.py": "from stages.b import second",
        "b/second.py": "def f():\n    from stages.c.third import x",
        "c/third.py": "x = 1",
        "c/beside.py": "import stages.a.first",
    }
    write(tmp_path, files)
    assert closure(tmp_path, "stages.one") == ["a/first.py", "b/second.py", "c/third.py", "one.py"]
    assert closure(tmp_path, "stages.b.second") == ["b/second.py", "c/third.py"]


def test_a_packages_own_file_counts_where_anything_of_it_is_imported(tmp_path: Path) -> None:
    files = {
        "__init__.py": "",
        "one.py": "from stages.deep.deeper.used import x",
        "deep/__init__.py": "import stages.other.needed",
        "deep/deeper/__init__.py": "",
        "deep/deeper/used.py": "x = 1",
        "other/__init__.py": "",
        "other/needed.py": "",
        "third/__init__.py": "",
    }
    write(tmp_path, files)
    assert closure(tmp_path, "stages.one") == sorted(set(files) - {"third/__init__.py"})


def test_a_name_that_a_packages_own_file_defines_is_no_module(tmp_path: Path) -> None:
    files = {"one.py": "from stages.room import load", "room/__init__.py": "def load(): ..."}
    write(tmp_path, {**files, "room/beside.py": ""})
    assert closure(tmp_path, "stages.one") == ["one.py", "room/__init__.py"]


def test_a_name_that_is_a_file_and_a_folder_is_both(tmp_path: Path) -> None:
    """Which of them Python takes depends on what else lies in the folder."""
    write(tmp_path, {"one.py": "import stages.room", "room.py": "", "room/__init__.py": ""})
    assert closure(tmp_path, "stages.one") == ["one.py", "room/__init__.py", "room.py"]


def test_circular_imports_end(tmp_path: Path) -> None:
    files = {
        "one.py": "import stages.two",
        "two.py": "import stages.three, stages.two",
        "three.py": "from stages import one",
    }
    write(tmp_path, files)
    for name in ("stages.one", "stages.two", "stages.three"):
        assert closure(tmp_path, name) == ["one.py", "three.py", "two.py"]


def test_a_module_that_is_named_and_absent_adds_nothing_but_the_packages_around_it(
    tmp_path: Path,
) -> None:
    files = {
        "__init__.py": "",
        "one.py": "import stages.gone\nfrom stages.room import gone\nimport stages.away.gone",
        "room/__init__.py": "",
    }
    write(tmp_path, files)
    assert closure(tmp_path, "stages.one") == ["__init__.py", "one.py", "room/__init__.py"]
    assert closure(tmp_path, "stages.room.gone") == ["__init__.py", "room/__init__.py"]
    assert closure(tmp_path, "stages.gone") == ["__init__.py"]
    (tmp_path / "stages/gone.py").write_text("")
    assert closure(tmp_path, "stages.gone") == ["__init__.py", "gone.py"]


def test_several_modules_have_the_files_of_each_in_order_of_paths(tmp_path: Path) -> None:
    files = {"b.py": "import stages.z", "a.py": "import stages.z", "z.py": "", "c.py": ""}
    write(tmp_path, files)
    assert closure(tmp_path, "stages.b", "stages.a") == ["a.py", "b.py", "z.py"]
    assert list(import_closure(["stages.a", "stages.b"], tmp_path).items()) == list(
        import_closure(["stages.b", "stages.a", "stages.b"], tmp_path).items()
    )
    assert closure(tmp_path) == []


def test_a_files_digest_changes_with_its_bytes_and_an_edited_import_is_followed(
    tmp_path: Path,
) -> None:
    write(tmp_path, {"one.py": "import stages.two", "two.py": "x = 1", "three.py": ""})
    before = import_closure(["stages.one"], tmp_path)
    assert before["stages/two.py"] == hashlib.sha256(b"x = 1").hexdigest()
    write(tmp_path, {"two.py": "x = 1  # one", "three.py": "# changed"})
    after = import_closure(["stages.one"], tmp_path)
    assert {path for path in before if before[path] != after[path]} == {"stages/two.py"}
    write(tmp_path, {"two.py": "import stages.three"})
    assert "stages/three.py" in import_closure(["stages.one"], tmp_path)
    write(tmp_path, {"two.py": "x = 1"})
    assert import_closure(["stages.one"], tmp_path) == before


def test_the_modules_below_a_package_are_its_files(tmp_path: Path) -> None:
    write(tmp_path, {"room/__init__.py": "", "room/b.py": "", "room/a.py": "", "room/c/d.py": ""})
    assert modules_below("stages.room", tmp_path) == ["a", "b"]
    assert modules_below("stages.room.c", tmp_path) == ["d"]


# The project's own: a stage's closure covers what Python loads.


def stage_files() -> list[str]:
    return sorted(path.stem for path in STAGES.glob("*.py") if path.stem != "__init__")


def commands() -> Iterator[list[str]]:
    """What each command imports, and what it loads by name beside."""
    yield from ([f"stages.{stage}"] for stage in stage_files())
    yield ["stages.recommend.__main__"]
    yield ["stages.recommend.share"]
    yield ["stages.preset.__main__"]
    for name in datasets.names():
        for stage in ("fetch_data", "preprocess"):
            yield [f"stages.{stage}", datasets.module_of(name)]
    for name in methods.names():
        stage = "compare_llm" if isinstance(methods.load(name), LlmMethod) else "compare"
        yield [f"stages.{stage}", methods.module_of(name)]
    metrics = modules_below("stages.measures.metrics")
    for stage in ("evaluate", "report"):
        yield [f"stages.{stage}", *(f"stages.measures.metrics.{name}" for name in metrics)]


COMMANDS = list(commands())
# One process for all, since most of them wait for torch; what is first-party is loaded anew.
LOAD = """
import importlib, json, sys

found = []
for names in json.loads(sys.argv[1]):
    for name in [name for name in sys.modules if name.split(".")[0] == "stages"]:
        del sys.modules[name]
    for name in names:
        importlib.import_module(name)
    loaded = [module for name, module in sys.modules.items() if name.split(".")[0] == "stages"]
    found.append([module.__file__ for module in loaded])
print(json.dumps(found))
"""


def relative(files: list[str]) -> set[str]:
    return {Path(file).resolve().relative_to(ROOT).as_posix() for file in files}


@pytest.fixture(scope="module")
def loaded() -> list[set[str]]:
    """For each of `COMMANDS` the first-party files that Python loads, relative to the root."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(COMMANDS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [relative(files) for files in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.parametrize("place", range(len(COMMANDS)), ids=[" ".join(names) for names in COMMANDS])
def test_a_closure_covers_all_that_python_loads(loaded: list[set[str]], place: int) -> None:
    names, found = COMMANDS[place], set(import_closure(COMMANDS[place]))
    assert loaded[place] <= found
    for name in names:
        path = "/".join(name.split(".")) + ".py"
        assert path in loaded[place]


def test_what_a_closure_holds_beyond_that_is_imported_later_or_for_types(
    loaded: list[set[str]],
) -> None:
    beyond = {
        path
        for names, files in zip(COMMANDS, loaded, strict=True)
        for path in set(import_closure(names)) - files
    }
    lazily = {
        path
        for source in STAGES.rglob("*.py")
        for name in imported(source, nested_only=True)
        for path in import_closure([name])
    }
    assert beyond <= lazily


RUN = """
import importlib, json, sys

importlib.import_module(sys.argv[1]).main()
loaded = [module for name, module in sys.modules.items() if name.split(".")[0] == "stages"]
print(json.dumps([module.__file__ for module in loaded]))
"""


def test_a_stage_that_has_run_has_loaded_nothing_else(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs/own-data", tmp_path / "docs/own-data")
    (tmp_path / "params.yaml").write_text(documented_params(), encoding="utf-8")
    for stage in ("stages.fetch_data", "stages.preprocess"):
        done = subprocess.run(
            [sys.executable, "-c", RUN, stage],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        found = relative(json.loads(done.stdout.splitlines()[-1]))
        assert "stages/datasets/table.py" in found
        assert found <= set(import_closure([stage, "stages.datasets.table"]))


# The project's own: how its modules may import each other.


# Rooms of one line do not import each other, and each imports from lines above it only.
LEVELS = [
    {"io"},
    {"measures", "preset", "prompts"},
    {"collab", "datasets", "llm"},
    {"methods", "recommend"},
    {"planning"},
    {"a stage"},
]
ARROWS = {
    "measures": {"io"},
    "preset": {"io"},
    "prompts": {"io"},
    "collab": {"io", "measures", "prompts"},
    "datasets": {"io"},
    "llm": {"io", "measures", "prompts"},
    "methods": {"io", "measures", "prompts", "collab", "llm"},
    "recommend": {"io", "prompts", "llm"},
    "planning": {"io", "measures", "prompts", "collab", "datasets", "llm", "methods"},
    "a stage": {
        *("io", "measures", "prompts", "collab", "datasets", "llm", "methods"),
        "planning",
    },
}
# All that loads modules by name, which no closure sees: what they load is added by hand.
BY_NAME = {
    "datasets/__init__.py": {"fetch_data", "preprocess"},
    "methods/__init__.py": {"compare", "compare_llm", "plan"},
    "measures/user_metrics.py": {"evaluate", "report"},
}


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(STAGES.rglob("*.py"))}


def imported(path: Path, *, nested_only: bool = False) -> set[str]:
    """Returns the modules that a file imports, anywhere or only below the file's top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(tree.body) if nested_only else set()
    found: set[str] = set()
    for node in set(ast.walk(tree)) - top:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found & set(MODULES)


def room(module: str) -> str:
    name = module.partition(".")[2].partition(".")[0]
    return name if name and (STAGES / name).is_dir() else "a stage"


GRAPH = {name: imported(path) for name, path in MODULES.items()}


def test_arrows_between_rooms_are_these_and_point_down() -> None:
    found: dict[str, set[str]] = {}
    for module, names in GRAPH.items():
        for name in names:
            if room(module) != room(name):
                found.setdefault(room(module), set()).add(room(name))
    assert found == ARROWS
    rooms = {path.name for path in STAGES.iterdir() if list(path.glob("*.py"))}
    assert rooms == set.union(*LEVELS) - {"a stage"}
    level = {name: number for number, line in enumerate(LEVELS) for name in line}
    for above, below in found.items():
        assert all(level[name] < level[above] for name in below), above


def test_no_module_imports_a_stage() -> None:
    stages = {f"stages.{name}" for name in stage_files()} | {
        "stages.preset.__main__",
        "stages.recommend.__main__",
        "stages.recommend.share",
    }
    assert stages <= set(MODULES)
    for module, names in GRAPH.items():
        assert not names & stages, module


def test_no_imports_go_in_a_circle_not_even_those_for_types() -> None:
    order = list(graphlib.TopologicalSorter(GRAPH).static_order())
    assert sorted(order) == sorted(MODULES)


def test_every_import_names_a_module_in_full() -> None:
    """Relative ones and stars would not be followed, or not be told apart."""
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0 and node.module, path
                assert "*" not in {alias.name for alias in node.names}, path


def test_every_first_party_import_names_a_module_that_is_there() -> None:
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            else:
                named = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            missing = [n for n in named if n.split(".")[0] == "stages" and n not in MODULES]
            assert not missing, path


def test_package_files_hold_docstrings_only_but_for_those_that_list_their_modules() -> None:
    """And the root's, which is run first, for Ctrl-C in the seconds that a stage imports."""
    with_code = set()
    for path in STAGES.rglob("__init__.py"):
        first, *rest = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant), path
        if rest:
            with_code.add(path.relative_to(STAGES).as_posix())
    assert with_code == {"datasets/__init__.py", "methods/__init__.py", "__init__.py"}


def test_modules_are_loaded_by_name_in_three_places_for_these_stages() -> None:
    """What `plan` adds to a stage's closure by hand is thereby all that it has to add."""
    dynamic = re.compile(r"import_module|__import__|runpy|spec_from_file")
    texts = {name: path.read_text(encoding="utf-8") for name, path in MODULES.items()}
    places = {name for name, text in texts.items() if dynamic.search(text)}
    assert {MODULES[name].relative_to(STAGES).as_posix() for name in places} == set(BY_NAME)
    calls = {
        "datasets/__init__.py": r"\bdatasets\.load\(",
        "methods/__init__.py": r"\bmethods\.load\(",
        "measures/user_metrics.py": r"\buser_metrics\(\)",
    }
    for place, call in calls.items():
        callers = {
            MODULES[name].relative_to(ROOT).as_posix()
            for name, text in texts.items()
            if re.search(call, text) and name not in places
        }
        behind = {
            stage for stage in stage_files() if callers & set(import_closure([f"stages.{stage}"]))
        }
        assert callers and behind == BY_NAME[place], place
