"""Downloads a model repository from the Hub at a pinned commit, safetensors only."""

import sys
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HTTPError, RevisionResolutionError

from stages.io.errors import InputError
from stages.llm.fetching.folder import PATTERNS


def download(name: str, revision: str, downloads: Path) -> Path:
    """Downloads the files of `name` that `folder.files_of` looks for; a cut is taken up again.

    Args:
        name: the repository, `owner/name`.
        revision: the commit.
        downloads: the scratch folder below which the files are kept until they are written.

    Returns:
        The folder with the files.

    Raises:
        InputError: the Hub cannot be reached, or has no such repository or commit.
    """
    folder = downloads / "hub" / f"{name.replace('/', '--')}@{revision}"
    sys.stderr.write(f"download {name} at {revision[:12]} from the Hub\n")
    try:
        snapshot_download(name, revision=revision, local_dir=folder, allow_patterns=PATTERNS)
    except (HTTPError, OSError, ValueError, RevisionResolutionError) as error:
        raise InputError(f"{name} at {revision}: {' '.join(str(error).split())}") from None
    return folder
