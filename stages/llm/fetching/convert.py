"""Turns a GGUF file, or a folder's first layers, into a folder of safetensors and tokenizer."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gguf
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers import modeling_gguf_pytorch_utils as gguf_reading

from stages.io.errors import InputError
from stages.io.progress import Progress
from stages.llm.fetching.folder import WEIGHTS, read_object
from stages.llm.weights import require_all

# Traces of the machine and of the library's version, of which bytes must not depend.
_TRACES = ("_model_name_or_path", "_name_or_path", "transformers_version")
_LAYER = re.compile(r"blk\.(\d+)\.")  # in the name of a GGUF file's tensor


def convert_gguf(path: Path, layers: int | None, folder: Path) -> None:
    """Converts a GGUF file: weights are dequantised once, here, and the tokenizer rebuilt.

    Args:
        path: the file.
        layers: keep the first `layers` only; None for all.
        folder: a new folder to fill.

    Raises:
        InputError: the model has fewer layers.
    """
    place: dict[str, Any] = {"gguf_file": path.name, "trust_remote_code": False}
    with _read_once(layers):
        config = _shortened(AutoConfig.from_pretrained(path.parent, **place), layers)
        # Stays float32: a 4-bit level times its scale plus its offset has more digits than
        # bfloat16.
        model: Any = AutoModelForCausalLM.from_pretrained(path.parent, config=config, **place)
        AutoTokenizer.from_pretrained(path.parent, **place).save_pretrained(folder)
    model.hf_quantizer = None  # it would refuse to save
    save_plain(model, folder)


@contextmanager
def _read_once(layers: int | None) -> Iterator[None]:
    """Has the library read a file once, and dequantise what is kept alone, with our progress line.

    By itself it reads the file for configuration, weights and tokenizer anew, ten seconds each, and
    dequantises all layers, behind a bar that fills a log.
    """

    def kept(tensors: Sequence[Any], **_: Any) -> Iterator[Any]:
        of_layers = [(tensor, _LAYER.match(tensor.name)) for tensor in tensors]
        wanted = [
            tensor
            for tensor, layer in of_layers
            if layer is None or layers is None or int(layer[1]) < layers
        ]
        progress = Progress("dequantise", len(wanted), "tensors")
        for tensor in wanted:
            yield tensor
            progress.advance(1)
        progress.close()

    with (
        patch.object(gguf_reading, "tqdm", kept),
        patch.object(gguf, "GGUFReader", lru_cache(gguf.GGUFReader)),
    ):
        yield


def keep_layers(source: Path, layers: int, folder: Path) -> None:
    """Saves the first `layers` of a folder's model, in its own precision.

    Args:
        source: the model's folder; its tokenizer files are not copied.
        layers: how many layers to keep.
        folder: a new folder to fill.

    Raises:
        InputError: the model has fewer layers, cannot be loaded, or lacks a weight that its
            configuration has a place for.
    """
    try:
        config = _shortened(AutoConfig.from_pretrained(source, trust_remote_code=False), layers)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            dtype="auto",
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except InputError:
        raise
    except Exception as error:  # whatever the library raises, the cause is the files
        raise InputError(f"{source}: no LLM: {error}") from None
    model, report = loaded
    require_all(report, source)
    save_plain(model, folder)


def save_plain(model: Any, folder: Path) -> None:
    """Saves a model as one file of weights and its configuration, without traces of this machine.

    Args:
        model: of transformers.
        folder: where to; its configuration files lose the same traces.
    """
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder, max_shard_size="1TB")
    (folder / WEIGHTS).chmod(0o644)  # saved for its owner only
    _drop_traces(folder)


def complete_tokenizer(folder: Path) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json` where a folder lacks one of them.

    A SentencePiece model is converted so, once: later stages read one kind of tokenizer.

    Raises:
        InputError: the tokenizer cannot be loaded.
    """
    if all((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        return
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        tokenizer.save_pretrained(folder)
    except Exception as error:  # whatever the library raises, the cause is the files
        raise InputError(f"{folder}: its tokenizer cannot be loaded: {error}") from None
    _drop_traces(folder)


def _shortened(config: Any, layers: int | None) -> Any:
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    if layers is None:
        return config
    available = getattr(config, "num_hidden_layers", None)
    if not isinstance(available, int) or layers > available:
        raise InputError(f"llm.layers = {layers}: the model has {available or 'no countable'}")
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    return config


def _drop_traces(folder: Path) -> None:
    for path in folder.glob("*config.json"):
        content = read_object(path)
        kept = {key: value for key, value in content.items() if key not in _TRACES}
        # In ASCII: half a surrogate pair, which JSON can say, has no UTF-8.
        path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
