"""The LLM's tokenizer: load it, its limit, the ids of the two answers, prompts as token ids.

A soft token is a place of a prompt that holds a vector instead of a word: in the text a mark around
its number, as a token an id above every vocabulary.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from stages.io.damage import check_digest
from stages.io.errors import InputError
from stages.io.tables import read_json

ANSWERS = (" Yes", " No")

# A soft token's id is this plus its number. No vocabulary reaches it, whatever a tokenizer adds to
# its own and a model to its embeddings.
FIRST_SOFT_ID = 1 << 30

# Unicode keeps these two code points for use within a program. A text from outside that holds them
# would name soft tokens: `preprocess` takes them out of titles, `read_prompts` out of prompts.
RESERVED = "\ufdd0\ufdd1"
_MARK = re.compile(f"{RESERVED[0]}([0-9]+){RESERVED[1]}")

# What configurations call the longest text: most LLMs, GPT-2, MPT, BLOOM.
_LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Loads the tokenizer that `fetch_llm` wrote; no text of a prompt ever becomes a control token.

    A title may hold what the tokenizer calls a special token, `<|im_end|>`: it is text like any
    other here. Only what the tokenizer itself puts in front of a text is such a token.

    Raises:
        InputError: the folder holds no tokenizer, or a damaged one.
    """
    for path in sorted(folder.glob("*")):
        if path.suffix != ".safetensors":
            check_digest(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, split_special_tokens=True
        )
        tokenizer("Answer:")  # some settings do harm only here
    except Exception as error:  # whatever the library raises, the cause is the files
        raise InputError(f"{folder}: its tokenizer cannot be loaded: {error}") from None
    return tokenizer


def token_limit(folder: Path) -> int:
    """Returns how many tokens the LLM in `folder` was made for.

    Raises:
        InputError: its configuration is missing, damaged, or does not say.
    """
    path = folder / "config.json"
    check_digest(path)
    config = read_json(path)
    limit = next((config[name] for name in _LIMITS if config.get(name) is not None), None)
    if not isinstance(limit, int) or limit < 1:
        raise InputError(
            f"{path}: says {limit!r} for the longest text; expected a number of tokens as "
            f"{' or '.join(_LIMITS)}"
        )
    return limit


def prompt_limit(folder: Path, asked: int | None) -> int:
    """Returns how many tokens a prompt may have.

    Args:
        folder: the LLM.
        asked: `materialize_prompts.max_tokens`; None for the LLM's own limit.

    Raises:
        InputError: the LLM was made for fewer.
    """
    limit = token_limit(folder)
    if asked is not None and asked > limit:
        raise InputError(
            f"materialize_prompts.max_tokens = {asked}: the LLM in {folder} reads {limit} tokens; "
            f"expected at most that, or null"
        )
    return asked or limit


def answer_id(tokenizer: PreTrainedTokenizerBase, answer: str) -> int:
    """Returns the id of the answer's token as it stands after a prompt.

    Raises:
        InputError: the answer is not exactly one token there.
    """
    prompt = "Answer:"
    before = tokenizer(prompt)["input_ids"]
    bare = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    if before[len(before) - len(bare) :] != bare:
        raise InputError(
            f"tokenizer: puts {tokenizer.convert_ids_to_tokens(before[-1])!r} after each text; "
            "expected nothing there (add_eos_token in tokenizer_config.json)"
        )
    after = tokenizer(prompt + answer)["input_ids"]
    if after[: len(before)] != before or len(after) != len(before) + 1:
        raise InputError(
            f"tokenizer: {answer!r} after a prompt is {after[len(before) :]}, not one token"
        )
    return after[-1]


def most_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Returns the largest id that a text can be given: of its words, and of what stands in front.

    Control tokens that no text becomes may lie beyond: some folders have added one for padding.
    """
    control = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    words = (i for token, i in tokenizer.get_vocab().items() if token not in control)
    return max(*words, *tokenizer("a")["input_ids"])


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
