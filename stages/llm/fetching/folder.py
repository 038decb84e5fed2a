"""Which files make up an LLM's folder, and whether they may be read.

Weights are safetensors, which hold numbers only. Pickled weights (.bin, .pt, …) can run code when
they are opened: they are neither copied nor opened, and a folder that has nothing else is refused.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from stages.io.downloads import digest
from stages.io.errors import InputError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model")
_OPTIONAL = (
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
)
# Keys of a configuration that say how large the model is.
_SIZES = re.compile(r"(size|dim|layers?|heads?|embd|inner)$")
_PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}

# What is worth fetching from a repository that also holds other formats.
PATTERNS = ["config.json", "model*.safetensors", INDEX, *TOKENIZERS, *_OPTIONAL]


def files_of(folder: Path) -> list[Path]:
    """Returns the files of an LLM's folder that count, sorted by name.

    Raises:
        InputError: one that is needed is missing, damaged, or would need code of the model's own.
    """
    config = _config_of(folder)
    weights = _weights_of(folder)
    tokenizers = [folder / name for name in TOKENIZERS if (folder / name).is_file()]
    if not tokenizers:
        raise InputError(f"{folder}: holds no tokenizer; expected {' or '.join(TOKENIZERS)}")
    for path in weights:
        if path.suffix == ".safetensors":
            _check_weights(path)
    _check_sizes(folder / "config.json", config, parameters_of(folder))
    optional = [folder / name for name in _OPTIONAL if (folder / name).is_file()]
    return sorted([folder / "config.json", *weights, *tokenizers, *optional])


def digest_of(files: list[Path]) -> str:
    """Returns one SHA-256 over the names and contents of files, whatever their order."""
    whole = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        whole.update(f"{digest(path, 'sha256')}  {path.name}\n".encode())
    return whole.hexdigest()


def layers_of(folder: Path) -> int | None:
    """Returns the number of layers that the folder's config states; None where it states none."""
    return _config_of(folder).get("num_hidden_layers")


def parameters_of(folder: Path) -> int:
    """Returns how many numbers the folder's weights hold; tied ones count once."""
    count = 0
    for path in _weights_of(folder):
        if path.name == INDEX:
            continue
        with safe_open(path, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - no mapping
                size = 1
                for side in tensors.get_slice(name).get_shape():
                    size *= side
                count += size
    return count


def _config_of(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    config = read_object(path)
    if not isinstance(config.get("model_type"), str) or not config["model_type"]:
        raise InputError(f"{path}: names no model_type; expected a config saved by transformers")
    if "auto_map" in config:
        raise InputError(f"{path}: auto_map asks for code of the model's own, which is never run")
    return config


def _weights_of(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        weight_map = read_object(folder / INDEX).get("weight_map", {})
        if not isinstance(weight_map, dict) or not all(map(_is_text, weight_map.values())):
            raise InputError(f"{folder / INDEX}: weight_map is no map from tensors to files")
        shards = set(weight_map.values())
        paths = [folder / shard for shard in sorted(shards)]
        for shard, path in zip(sorted(shards), paths, strict=True):
            # A shard's name comes from outside and is joined to paths.
            if Path(shard).name != shard or path.suffix != ".safetensors":
                raise InputError(f"{folder / INDEX}: {shard!r} is no name of a safetensors file")
            if not path.is_file():
                raise InputError(f"{folder}: {INDEX} names {shard}, which is missing")
        if not paths:
            raise InputError(f"{folder / INDEX}: weight_map is empty")
        return [folder / INDEX, *paths]
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
    found = f"only {pickled[0]}, a pickle, which is never opened" if pickled else "no weights"
    raise InputError(f"{folder}: holds {found}; expected {WEIGHTS} or {INDEX}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _check_weights(path: Path) -> None:
    try:
        with safe_open(path, framework="numpy") as tensors:
            tensors.keys()
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: no intact safetensors file: {error}") from None


def _check_sizes(path: Path, config: dict[str, Any], parameters: int) -> None:
    """Refuses a configuration of a far larger model: building it would take all memory, or years.

    Raises:
        InputError: a width or number of layers is below 0, or larger than all weights together.
    """
    for key, value in config.items():
        sized = _SIZES.search(key) and isinstance(value, int | float)
        if sized and not 0 <= value <= parameters:
            raise InputError(
                f"{path}: {key} = {value!r}, and the weights hold {parameters:,} numbers in all"
            )


def read_object(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        InputError: the file is missing, cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object")
    return content
