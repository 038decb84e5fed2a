"""A file that changed since a stage wrote it is noticed where it is read, in one line."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from stages.collab.tensor_file import read_tensors
from stages.io import damage
from stages.io.damage import DIGESTS, REPAIR, check_digests, damaged
from stages.io.errors import InputError
from stages.io.outputs import replacing
from stages.io.tables import PREDICTIONS, read_json, read_table, write_table
from stages.llm.adapters import (
    add_adapter,
    check_adapter,
    load_adapter,
    store_adapter,
    trainable_parameters,
)
from stages.llm.fetching.write import write_llm
from stages.llm.load import load_llm
from stages.prompts.tokenizer import load_tokenizer, token_limit


def flip(path: Path, rng: random.Random) -> None:
    """Flips one bit of a file."""
    raw = bytearray(path.read_bytes())
    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    path.write_bytes(raw)


@pytest.fixture(scope="module")
def llm_copy(tiny_llm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LLM's folder that a test may damage; `fetch_llm` wrote it."""
    folder = tmp_path_factory.mktemp("damage") / "llm"
    write_llm(source=str(tiny_llm_folder), revision=None, layers=None, folder=folder)
    return folder


@pytest.fixture(scope="module")
def adapter(tiny_llm_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained adapter's folder, written as `train_lora` writes it."""
    folder = tmp_path_factory.mktemp("damage") / "adapter"
    llm = load_llm(tiny_llm_folder, precision="float32")
    sizes = {"rank": 2, "alpha": 2, "dropout": 0.0, "targets": ["q_proj", "up_proj"]}
    llm = add_adapter(llm, **sizes, last_layers=None, seed=1)  # type: ignore[arg-type]
    weights = {name: p.detach() + 0.1 for name, p in trainable_parameters(llm.model).items()}
    with replacing(folder) as partial:
        store_adapter(llm, weights, partial)
    return folder


def refuse(read: Callable[[], object], path: Path) -> None:
    """Asserts one line that names the damaged file and the command that repairs it."""
    with pytest.raises(InputError) as error:
        read()
    message = str(error.value)
    assert message.startswith(f"{path}: damaged: ") and REPAIR in message and "\n" not in message


def test_every_file_of_an_llm_is_verified_where_it_is_read(llm_copy: Path) -> None:
    load_llm(llm_copy)
    rng = random.Random(1)
    listed = json.loads((llm_copy / DIGESTS).read_text())
    assert set(listed) == {path.name for path in llm_copy.iterdir()} - {DIGESTS}
    assert {"model.safetensors", "config.json", "tokenizer.json", "llm.json"} <= set(listed)
    for name in listed:
        sound = (llm_copy / name).read_bytes()
        flip(llm_copy / name, rng)
        refuse(lambda: load_llm(llm_copy), llm_copy / name)
        if name.startswith("token"):
            refuse(lambda: load_tokenizer(llm_copy), llm_copy / name)
        if name == "config.json":
            refuse(lambda: token_limit(llm_copy), llm_copy / name)
        (llm_copy / name).write_bytes(sound)
    load_llm(llm_copy)


def test_an_adapter_is_verified_where_it_is_read(
    adapter: Path, tiny_llm_folder: Path, fuzz_inputs: int
) -> None:
    llm = load_llm(tiny_llm_folder, precision="float32")
    load_adapter(llm, adapter)
    rng = random.Random(2)
    names = ("adapter_model.safetensors", "adapter_config.json")
    sound = {name: (adapter / name).read_bytes() for name in names}
    for number in range(fuzz_inputs):
        path = adapter / names[number % 2]
        flip(path, rng)
        refuse(lambda: check_adapter(adapter), path)
        refuse(lambda: load_adapter(llm, adapter), path)
        path.write_bytes(sound[path.name])
    check_adapter(adapter)


@pytest.fixture
def unlisted(adapter: Path, tmp_path: Path) -> Path:
    """The adapter without `sha256.json`, as PEFT alone would write it."""
    folder = tmp_path / "adapter"
    shutil.copytree(adapter, folder)
    (folder / DIGESTS).unlink()
    return folder


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"target_modules": ["q_proj"]}, "adapts no layer for .*up_proj.* and 3 more tensors"),
        ({"exclude_modules": ["q_proj"]}, "adapts no layer for .*q_proj.* and 3 more tensors"),
        ({"layers_to_transform": [0]}, r"adapts no layer for .*layers\.1\..* and 3 more tensors"),
        ({"lora_alpha": 0}, r"scales the adapter by 0\.0; expected lora_alpha / r"),
        ({"lora_alpha": float("nan")}, "scales the adapter by nan"),
        ({"use_dora": True}, "does not fit this LLM"),
    ],
)
def test_an_adapter_that_its_configuration_uses_in_part_is_refused(
    unlisted: Path, tiny_llm_folder: Path, changes: dict[str, Any], expected: str
) -> None:
    path = unlisted / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    for trainable in (True, False):
        with pytest.raises(InputError, match=expected) as caught:
            load_adapter(load_llm(tiny_llm_folder), unlisted, trainable=trainable)
        assert str(caught.value).startswith(f"{unlisted}: ") and str(caught.value).isprintable()


def test_an_adapter_of_numbers_that_are_not_finite_is_refused(unlisted: Path) -> None:
    path = unlisted / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors[min(tensors)][0, 0] = np.nan
    save_file(tensors, path)
    with pytest.raises(InputError, match=r"lora_A\.weight holds numbers that are not finite"):
        check_adapter(unlisted)


def mutated(raw: bytes, rng: random.Random) -> bytes:
    """Changes, inserts, removes or cuts some bytes, mostly of the first 300."""
    found = bytearray(raw)
    for _ in range(rng.choice((1, 2, 5))):
        place = rng.randrange(min(len(found), 300 if rng.random() < 0.8 else len(found)) or 1)
        kind = rng.randrange(5)
        if kind == 0:
            found[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            found[place:place] = rng.choice((b"9" * 30, b'"', b"{", b"\xff", b"null", b"-1"))
        elif kind == 2:
            del found[place : place + rng.randrange(1, 9)]
        elif kind == 3:
            found[place : place + 4] = rng.randbytes(4)
        elif rng.random() < 0.3:
            del found[place:]
    return bytes(found)


TENSORS = {"users": np.arange(600.0).reshape(100, 6), "items": np.eye(6) > 0}


@pytest.mark.parametrize("listed", [True, False])
def test_damaged_tensors_are_noticed_or_at_least_one_line(
    tmp_path: Path, fuzz_inputs: int, listed: bool
) -> None:
    path = tmp_path / "codes" / "codes.safetensors"
    with replacing(path.parent) as partial:
        partial.mkdir()
        save_file(TENSORS, partial / path.name)
    if not listed:
        (path.parent / DIGESTS).unlink()
    sound, rng, refused = path.read_bytes(), random.Random(4), 0
    for number in range(fuzz_inputs):
        raw = mutated(sound, rng)
        path.write_bytes(raw)
        try:
            read_tensors(path, load_file)
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}: damaged: ") and "\n" not in str(error)
        else:
            assert raw == sound or not listed, number
    assert refused > fuzz_inputs // 2


def test_a_bit_that_flips_in_a_table_is_noticed(tmp_path: Path, fuzz_inputs: int) -> None:
    rng = np.random.default_rng(5)
    n = 3000
    data = pd.DataFrame({"row": range(n), "uid": rng.integers(1, 90, n), "iid": range(n)})
    data["label"], data["score"] = data["uid"] % 2, rng.normal(size=n)
    path = tmp_path / "table.parquet"
    write_table(data, path, PREDICTIONS)
    expected, sound = read_table(path, PREDICTIONS), path.read_bytes()
    refused, bits = 0, random.Random(6)
    for number in range(fuzz_inputs):
        flip(path, bits)
        try:
            found = read_table(path, PREDICTIONS)
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        else:
            assert found.equals(expected), number  # the bit says nothing of the rows
        path.write_bytes(sound)
    assert refused > fuzz_inputs * 0.9


@pytest.mark.parametrize("size", [0, 1, 4, 100, 5000])
def test_a_table_cut_short_is_one_line(tmp_path: Path, size: int) -> None:
    n = 3000
    data = pd.DataFrame({name: np.arange(n) % 100 for name in ("row", "uid", "iid", "label")})
    write_table(data.assign(score=np.arange(n) / 7), tmp_path / "t.parquet", PREDICTIONS)
    raw = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(raw[:size])
    refuse(lambda: read_table(tmp_path / "t.parquet", PREDICTIONS), tmp_path / "t.parquet")


def test_a_file_that_is_gone_is_noticed_by_the_list_of_digests(adapter: Path) -> None:
    """A tokenizer without its settings, for one, would load all the same, as another."""
    path = adapter / "adapter_config.json"
    sound = path.read_bytes()
    path.unlink()
    refuse(lambda: check_digests(adapter), adapter / DIGESTS)
    path.write_bytes(sound)
    check_digests(adapter)


def test_a_damaged_list_of_digests_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    for text in ("", "[]", "{", "\xff", "[" * 100_000):
        (tmp_path / DIGESTS).write_text(text, encoding="latin-1")
        refuse(lambda: check_digests(tmp_path), tmp_path / DIGESTS)


def test_damaged_json_of_a_stage_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    for text in ("", "[]", "{", "[" * 100_000, "null"):
        path.write_text(text)
        refuse(lambda: read_json(path), path)


def test_the_line_names_the_stage_that_wrote_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    damage._outputs.cache_clear()
    lock = "stages:\n  fetch_llm:\n    outs:\n    - path: models/llm\n"
    lock += "  predict@codes:\n    outs:\n    - path: data/predictions/codes.parquet\n"
    Path("dvc.lock").write_text(lock)
    expected = {
        "models/llm/model.safetensors": "then `dvc repro` (stage fetch_llm)",
        "data/predictions/codes.parquet": "then `dvc repro` (stage predict@codes)",
        "data/predictions/text.parquet": "then `dvc repro`",
    }
    for path, remedy in expected.items():
        assert str(damaged(Path(path), "x")).endswith(remedy)
    damage._outputs.cache_clear()
    Path("dvc.lock").write_text("stages: [")
    assert str(damaged(Path("models/llm"), "x")).endswith("then `dvc repro`")
    damage._outputs.cache_clear()
