"""What a text encoder makes of texts."""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel
from transformers.utils import logging

from stages.io.errors import InputError
from stages.io.progress import Progress
from stages.io.scratch import finished, keep, kept, scratch_folder
from stages.llm.hardware import Precision, best_device, resolve_precision
from stages.prompts.tokenizer import load_tokenizer, token_limit

_BATCH = 32
_KEPT_AT_ONCE = 16 * _BATCH


def encode(
    texts: Sequence[str], folder: Path, *, job: str, max_tokens: int, precision: Precision
) -> Tensor:
    """Encodes texts: the mean of the last layer's states over a text's tokens, of length 1.

    Equal texts are encoded once, and texts of like length together. What is encoded is kept in
    the scratch folder, at most some seconds behind, for a run that was cut and for one that
    changes nothing but what comes after.

    Args:
        texts: n texts.
        folder: an encoder as `stages.llm.encoder.write_encoder` wrote it.
        job: what the texts are, one word: what is kept goes when other texts of this job come.
        max_tokens: longer texts lose their ends.
        precision: type of the encoder's weights; see `stages.llm.hardware.resolve_precision`.

    Returns:
        (n, width) float32.

    Raises:
        InputError: the folder holds no encoder, or one for shorter texts.
    """
    device = best_device()
    dtype = resolve_precision(precision, device)
    if max_tokens > token_limit(folder):
        raise InputError(
            f"{folder}: the encoder reads {token_limit(folder)} tokens, "
            f"expected max_tokens ({max_tokens}) or more"
        )
    # Longest first, so that the time left is never underestimated.
    unique = sorted(set(texts), key=lambda text: (-len(text), text))
    scratch = scratch_folder(
        f"encode-{job}",
        [folder, Path(__file__)],
        {"texts": unique, "max_tokens": max_tokens, "dtype": str(dtype)},
    )
    progress = Progress("encode texts", len(unique), "texts")
    parts, encoder = [], None
    for start in range(0, len(unique), _KEPT_AT_ONCE):
        part = unique[start : start + _KEPT_AT_ONCE]
        path = scratch / f"{start}.npy"
        content = kept(path)
        if content is None:
            encoder = encoder or _Encoder(folder, dtype, device, max_tokens)
            parts.append(encoder(part, progress))
            made = io.BytesIO()
            np.save(made, parts[-1])
            keep(made.getbuffer(), path)
        else:
            parts.append(np.load(io.BytesIO(content), allow_pickle=False))
            progress.advance(len(part))
    progress.close()
    finished(scratch, keep_own=True)
    place = {text: index for index, text in enumerate(unique)}
    vectors = np.concatenate(parts)[[place[text] for text in texts]]
    return torch.from_numpy(vectors)


class _Encoder:
    """The text encoder, loaded."""

    def __init__(
        self, folder: Path, dtype: torch.dtype, device: torch.device, max_tokens: int
    ) -> None:
        if not sys.stderr.isatty():
            logging.disable_progress_bar()  # it would fill a log
        self._tokenizer = load_tokenizer(folder)
        try:
            self._model = AutoModel.from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True
            )
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: no encoder: {' '.join(str(error).split())}") from None
        self._model.to(device).eval()
        self._max_tokens = max_tokens

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], progress: Progress) -> NDArray[np.float32]:
        """Returns the (n, width) vectors of texts."""
        vectors = []
        for start in range(0, len(texts), _BATCH):
            batch = self._tokenizer(
                list(texts[start : start + _BATCH]),
                truncation=True,
                max_length=self._max_tokens,
                padding=True,
                return_tensors="pt",
            ).to(self._model.device)
            states = self._model(**batch).last_hidden_state.float()
            real = batch["attention_mask"][..., None]
            # Of length 1: the sum's direction is the mean's.
            vectors.append(normalize((states * real).sum(1), dim=-1).cpu())
            progress.advance(len(vectors[-1]))
        return torch.cat(vectors).numpy()
