"""The LLM's tokenizer: load it, its limit, the ids of the two answers, prompts as token ids.

A soft token is a place of a prompt that holds a vector instead of a word: in the text a mark around
its number, as a token an id above every vocabulary.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from stages.io.errors import InputError

ANSWERS = (" Yes", " No")

# A soft token's id is this plus its number. No vocabulary reaches it, whatever a tokenizer adds to
# its own and a model to its embeddings.
FIRST_SOFT_ID = 1 << 30

# Unicode keeps these two code points for use within a program: no title may hold them.
_MARK = re.compile("\ufdd0([0-9]+)\ufdd1")


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


def mark(number: int) -> str:
    """Returns the soft token `number` as it stands in a prompt's text."""
    return f"\ufdd0{number}\ufdd1"


def tokenize(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[list[int]]:
    """Returns each prompt's token ids, soft tokens included.

    The text between two marks is tokenized by itself, so that equal pieces have equal ids whatever
    stands around them; a tokenizer's start token stands in front of the prompt only.
    """
    split = [_MARK.split(prompt) for prompt in prompts]  # text, number, text, number, …, text
    if not split:
        return []
    first = tokenizer([parts[0] for parts in split])["input_ids"]
    texts = sorted({text for parts in split for text in parts[2::2] if text})
    later = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    ids_of = {"": [], **dict(zip(texts, later, strict=True))}
    return [
        start
        + [
            token
            for number, text in zip(parts[1::2], parts[2::2], strict=True)
            for token in (FIRST_SOFT_ID + int(number), *ids_of[text])
        ]
        for start, parts in zip(first, split, strict=True)
    ]
