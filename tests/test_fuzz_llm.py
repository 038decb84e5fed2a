"""Damaged folders of LLMs and adapters: refused in one line, or loaded as their bytes say.

Seeded; 150 inputs per reader, or as many as `--fuzz N` says. What a file says is read a second time
without transformers, PEFT or safetensors.
"""

import copy
import json
import math
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mutations import damage_folder, parted
from test_fetch_llm import small_llm
from tokenizers import Tokenizer

from stages.io import outputs
from stages.io.damage import DIGESTS
from stages.io.errors import InputError
from stages.io.outputs import replacing
from stages.llm.adapters import add_adapter, load_adapter, store_adapter, trainable_parameters
from stages.llm.fetching import write
from stages.llm.load import Llm, load_llm
from stages.prompts.tokenizer import token_limit

Tensors = dict[str, np.ndarray]
KINDS = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "u1"}
TEXTS = ("One two. Answer: Yes", "Misérables, Les (1995) \u2028 <|im_end|> No", "a", " ")
ADAPTER = ("adapter_model.safetensors", "adapter_config.json")
# Keys of a configuration that change nothing of what is computed, or are about to be replaced.
IDLE = {"architectures", "dtype", "torch_dtype", "transformers_version", "_name_or_path"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One thread, and no waiting for the disk: neither is what is asked here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(outputs, "_sync", lambda path: None)
    monkeypatch.setattr(outputs, "_sync_one", lambda path: None)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny LLM as others save it."""
    return small_llm(tmp_path_factory.mktemp("fuzz") / "sound", layers=2)


@pytest.fixture(scope="module")
def written(sound: Path) -> Path:
    """The same as `fetch_llm` writes it."""
    folder = sound.with_name("llm")
    write.write_llm(source=str(sound), revision=None, layers=None, folder=folder)
    return folder


@pytest.fixture(scope="module")
def adapter(written: Path) -> Path:
    """An adapter of two kinds of layers, as `train_lora` writes it."""
    folder = written.with_name("adapter")
    llm = load_llm(written, precision="float32")
    sizes = {"rank": 2, "alpha": 3, "dropout": 0.0, "last_layers": None}
    llm = add_adapter(llm, **sizes, targets=["q_proj", "up_proj"], seed=1)  # type: ignore[arg-type]
    rng = torch.Generator().manual_seed(5)
    parts = trainable_parameters(llm.model).items()
    with replacing(folder) as partial:
        store_adapter(
            llm, {name: torch.randn(p.shape, generator=rng) for name, p in parts}, partial
        )
    return folder


def plain_tensors(path: Path) -> Tensors:
    """Reads a safetensors file by its specification alone."""
    header, numbers = parted(path.read_bytes())
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            raw = numbers[begin:end]
            if entry["dtype"] == "BF16":
                wide = np.frombuffer(raw, "<u2").astype("<u4") << 16
                found[name] = wide.view("<f4").reshape(entry["shape"])
            else:
                kind = KINDS[entry["dtype"]]
                found[name] = np.frombuffer(raw, kind).reshape(entry["shape"])
    return found


def weights_of(model: Any) -> Tensors:
    """Returns a model's weights, where it has an adapter those below it, under the LLM's names."""
    return {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): weight.detach().numpy()
        for name, weight in model.named_parameters()
        if ".lora_" not in name
    }


def assert_same(found: Tensors, expected: Tensors, **tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, weight in found.items():
        wide = expected[name].astype(np.float32)
        np.testing.assert_allclose(
            weight, wide, **{"rtol": 0, "atol": 0, **tolerance}, err_msg=name
        )


def refused(read: Callable[[], object], check: Callable[[Any], None]) -> bool:
    """Reads, and checks what was read. Returns whether it was refused in one line."""
    try:
        found = read()
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) <= 610
        return True
    check(found)
    return False


def ids_of(llm: Llm) -> list[list[int]]:
    return [llm.tokenizer(text)["input_ids"] for text in TEXTS]


def check_llm(llm: Llm, folder: Path, layers: int | None) -> None:
    """Compares what was loaded with the files that it was loaded from."""
    tensors = plain_tensors(folder / "model.safetensors")
    found = weights_of(llm.model)
    kept = tensors if layers is None else {name: tensors[name] for name in found}
    assert all(np.isfinite(weights).all() for weights in kept.values())
    assert_same(found, kept)
    config = json.loads((folder / "config.json").read_bytes())
    for key, value in config.items():
        if key not in IDLE | ({"num_hidden_layers"} if layers else set()) and isinstance(
            value, str | int | float
        ):
            said = getattr(llm.causal_lm.config, key, value)
            assert said == value or (said != said and value != value), key  # both may be NaN
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    plain.encode_special_tokens = True
    plain.no_padding()
    plain.no_truncation()
    assert ids_of(llm) == [plain.encode(text).ids for text in TEXTS]


def test_a_damaged_llm_of_others_is_refused_or_loaded_as_its_files_say(
    sound: Path, tmp_path: Path, fuzz_inputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Llm] = []

    def remembered(folder: Path) -> Llm:
        loaded.append(load_llm(folder, precision="float32"))
        return loaded[-1]

    monkeypatch.setattr(write, "load_llm", remembered)
    names = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
    rng, n_refused = random.Random("LLM"), 0
    folder, target = tmp_path / "damaged", tmp_path / "llm"
    for number in range(fuzz_inputs):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sound, folder)
        damage_folder(folder, names, rng)
        layers = 1 if rng.random() < 0.1 else None

        def read(layers: int | None = layers) -> Llm:
            write.write_llm(source=str(folder), revision=None, layers=layers, folder=target)
            return loaded[-1]

        try:
            n_refused += refused(read, lambda llm, layers=layers: check_llm(llm, folder, layers))
        except Exception:
            shutil.copytree(folder, tmp_path / f"failed-{number}")
            raise
        loaded.clear()
    assert fuzz_inputs // 4 < n_refused < fuzz_inputs


def test_an_llm_that_changed_since_it_was_written_is_refused_or_the_same(
    written: Path, tmp_path: Path, fuzz_inputs: int
) -> None:
    llm = load_llm(written, precision="float32")
    before, ids, limit = weights_of(llm.model), ids_of(llm), token_limit(written)
    names = sorted(path.name for path in written.iterdir())
    rng, n_refused, folder = random.Random("written"), 0, tmp_path / "llm"

    def check(found: Llm) -> None:
        assert_same(weights_of(found.model), before)
        assert ids_of(found) == ids and token_limit(folder) == limit

    for _ in range(fuzz_inputs):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(written, folder)
        damage_folder(folder, names, rng)
        n_refused += refused(lambda: load_llm(folder, precision="float32"), check)
    assert fuzz_inputs // 2 < n_refused < fuzz_inputs


# Adapters.


def plainly_merged(base: Tensors, folder: Path) -> Tensors:
    """Adds each of a file's low-rank products to its layer (Hu et al. 2022, equation 3)."""
    config = json.loads((folder / "adapter_config.json").read_bytes())
    tensors, merged = plain_tensors(folder / "adapter_model.safetensors"), dict(base)
    for name in tensors:
        layer, _, part = name.removeprefix("base_model.model.").rpartition(".lora_")
        assert part in ("A.weight", "B.weight"), name
        if part == "B.weight":
            a, b = (tensors[name.replace("lora_B", f"lora_{it}")] for it in "AB")
            rank = math.sqrt(len(a)) if config.get("use_rslora") else len(a)
            scale = config.get("lora_alpha", 8) / rank  # PEFT's default
            product = b.astype(np.float64) @ a.astype(np.float64) * scale
            merged[f"{layer}.weight"] = base[f"{layer}.weight"] + product
    return merged


def fresh(llm: Llm) -> Llm:
    return Llm(copy.deepcopy(llm.model), llm.tokenizer, llm.answer_ids, llm.device)


@pytest.mark.parametrize("listed", [True, False], ids=["with digests", "of others"])
def test_a_damaged_adapter_is_refused_or_merged_as_its_files_say(
    written: Path, adapter: Path, tmp_path: Path, fuzz_inputs: int, listed: bool
) -> None:
    llm = load_llm(written, precision="float32")
    base = {name: weight.copy() for name, weight in weights_of(llm.model).items()}
    as_written = plainly_merged(base, adapter)
    rng, n_refused, folder = random.Random(f"adapter {listed}"), 0, tmp_path / "adapter"

    def check(found: Llm) -> None:
        expected = as_written if listed else plainly_merged(base, folder)
        assert all(np.isfinite(weights).all() for weights in expected.values())
        assert_same(weights_of(found.model), expected, rtol=1e-4, atol=1e-5)

    for number in range(fuzz_inputs):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(adapter, folder)
        if not listed:
            (folder / DIGESTS).unlink()
        damage_folder(folder, [*ADAPTER, DIGESTS] if listed else ADAPTER, rng)
        try:
            n_refused += refused(lambda: load_adapter(fresh(llm), folder), check)
        except Exception:
            shutil.copytree(folder, tmp_path / f"failed-{number}")
            raise
    assert fuzz_inputs // 2 < n_refused < fuzz_inputs
