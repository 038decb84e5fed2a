"""The LLM's tokenizer: load it, its limit, and the ids of the two answers."""

import json
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from stages.common.errors import InputError

ANSWERS = (" Yes", " No")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Loads the tokenizer that `fetch_llm` wrote.

    Raises:
        InputError: the folder holds no tokenizer.
    """
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: no tokenizer: {' '.join(str(error).split())}") from None


def token_limit(folder: Path) -> int:
    """Returns how many tokens the LLM in `folder` was made for.

    Raises:
        InputError: its configuration is missing or does not say.
    """
    path = folder / "config.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["max_position_embeddings"])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `dvc repro`") from None
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: no max_position_embeddings ({error})") from None


def answer_id(tokenizer: PreTrainedTokenizerBase, answer: str) -> int:
    """Returns the id of the answer's token as it stands after a prompt.

    Raises:
        InputError: the answer is not exactly one token there.
    """
    prompt = "Answer:"
    before = tokenizer(prompt)["input_ids"]
    after = tokenizer(prompt + answer)["input_ids"]
    if after[: len(before)] != before or len(after) != len(before) + 1:
        raise InputError(
            f"tokenizer: {answer!r} after a prompt is {after[len(before) :]}, not one token"
        )
    return after[-1]
