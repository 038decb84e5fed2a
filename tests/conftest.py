"""Fixtures that several test files share: the real LLM and text encoder, by the real stage code.

`make test` runs two workers, each a file at a time. What is converted lies in pytest's cache, made
by whichever of them needs it first.
"""

import os

# One thread for each of several workers and what they start, before torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import hashlib
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings
from transformers import AutoModel

from stages.llm.encoder import write_encoder
from stages.llm.fetching.write import write_llm

ROOT = Path(__file__).resolve().parent.parent
LLM = "smollm2-135m"
ENCODER = "all-minilm-l6-v2"
DOWNLOADS = ROOT / ".scratch/downloads"  # the wheels may lie there already

# A busy machine is no failure: an example may take as long as it takes.
settings.register_profile("binllm", deadline=None)
settings.load_profile("binllm")


@pytest.fixture(scope="session")
def llm_folder(request: pytest.FixtureRequest) -> Path:
    """The default LLM as `stages.fetch_llm` writes it, all layers; converted once, then kept."""
    return _converted(request, "llm-all", partial(_write_llm, LLM, None))


@pytest.fixture(scope="session")
def tiny_llm_folder(request: pytest.FixtureRequest, llm_folder: Path) -> Path:
    """The default LLM's first two layers with its real tokenizer."""
    return _converted(request, "llm-2", partial(_write_llm, str(llm_folder), 2))


@pytest.fixture(scope="session")
def encoder_folder(request: pytest.FixtureRequest) -> Path:
    """The default text encoder as methods fetch it."""
    write = partial(write_encoder, source=ENCODER, named="encoder", downloads=DOWNLOADS)
    return _converted(request, "encoder", write)


@pytest.fixture(scope="session")
def small_encoder(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default text encoder's first layer with its real tokenizer."""
    folder = tmp_path_factory.mktemp("encoder") / "small"
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


def _write_llm(source: str, layers: int | None, *, folder: Path) -> None:
    write_llm(source=source, revision=None, layers=layers, folder=folder, downloads=DOWNLOADS)


def _converted(request: pytest.FixtureRequest, name: str, write: Callable[..., object]) -> Path:
    """Writes a model to pytest's cache, unless the same origin and the same code wrote it."""
    sources = [ROOT / "stages/llm/encoder.py", *sorted((ROOT / "stages/llm/fetching").glob("*.py"))]
    code = b"".join(path.read_bytes() for path in sources)  # the origins' checksums stand there too
    version = hashlib.sha256(code).hexdigest()[:16]
    cache = Path(request.config.cache.mkdir("models"))
    folder = cache / f"{name}-{version}"
    with FileLock(cache / f"{name}.lock"):
        if not folder.is_dir():
            for older in cache.glob(f"{name}-*"):  # up to half a gigabyte each
                shutil.rmtree(older)
            write(folder=folder)
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option that makes the fuzzers go on for longer."""
    parser.addoption(
        "--fuzz", type=int, default=150, metavar="N", help="mutated inputs per reader (150)"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first: what fails should fail soon. Among workers, long files first.

    A worker takes a file at a time, so that a long one at the end would leave the other idle.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        items.sort(key=_is_slow)
        return
    slow = Counter(item.path for item in items if _is_slow(item))
    items.sort(key=lambda item: (-slow[item.path], item.path, _is_slow(item)))


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None
