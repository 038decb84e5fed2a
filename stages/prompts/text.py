"""The prompt: titles, levels, codes, a question answered Yes or No (BinLLM, Figure 1)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from string import Formatter
from typing import TYPE_CHECKING, Any

from stages.io.errors import InputError
from stages.io.progress import Progress
from stages.prompts.codes import WRITTEN, Form

if TYPE_CHECKING:  # seconds, which `plan` does without
    from transformers import PreTrainedTokenizerBase

QUESTION = "Will the user like this item? Answer:"
# A prompt is these parts in turn; one whose place has nothing to show is left out.
WORDING = (
    "Items the user liked: {history}",
    "\nUser kindness: {user_rate}",
    "\nUser code: {user_code}",
    "\nItem: {title}",
    "\nItem appeal: {item_rate}",
    "\nItem code: {item_code}",
    f"\n{QUESTION}",
)
USER_PLACES = ("history", "user_rate", "user_code")
ITEM_PLACES = ("title", "item_rate", "item_code")
UNKNOWN = "unknown"
EMPTY_HISTORY = "none"
_TOKENIZED_AT_ONCE = 4096


@dataclass(frozen=True)
class Row:
    """What a prompt is made of.

    Attributes:
        row: the interaction's number, for messages.
        history: titles the user liked, oldest first; None leaves them out.
        title: the candidate's title; None leaves it out.
        user_code: the user's code as text; None leaves it out, as the further fields.
        item_code: the candidate's code as text.
        user_rate: how readily the user likes, as a level.
        item_rate: how readily the candidate is liked, likewise.
        history_codes: codes of the liked items, oldest first.
    """

    row: int
    history: Sequence[str] | None
    title: str | None
    user_code: str | None = None
    item_code: str | None = None
    user_rate: str | None = None
    item_rate: str | None = None
    history_codes: Sequence[str] | None = None


@dataclass(frozen=True)
class Prompt:
    """A prompt in two parts; rows of one user and history have equal prefixes."""

    prefix: str
    suffix: str


@dataclass
class BuiltPrompts:
    """Prompts with their lengths, and what had to be shortened.

    Attributes:
        prompts: one per row.
        n_tokens: length of each whole prompt in tokens.
        shortened: prompts that lost titles.
        titles_dropped: titles left out in all.
    """

    prompts: list[Prompt] = field(default_factory=list)
    n_tokens: list[int] = field(default_factory=list)
    shortened: int = 0
    titles_dropped: int = 0


def one_line(title: str) -> str:
    """Returns the title without control characters and code points that Unicode keeps for programs.

    Each stretch of white space becomes one space.
    """
    return re.sub(r"\s+", " ", re.sub("[\x00-\x1f\x7f\ufdd0-\ufdef]", " ", title)).strip()


@lru_cache(maxsize=65_536)
def quoted(title: str) -> str:
    """Returns the title in double quotes, on one line, its own double quotes made single."""
    return '"' + one_line(title).replace('"', "'") + '"'


def build_prompt(row: Row, wording: Sequence[str] = WORDING) -> Prompt:
    """Builds one prompt; as a rule its fields stand in the paper's order.

    The prefix is what all candidates of the user at this moment share: all before the first part
    that tells of the candidate. Text-only prompts leave codes out; ID-only prompts both kinds of
    titles. A prompt that says nothing of the user has an empty prefix.

    Args:
        row: what stands there.
        wording: parts with at most one place each; the first that is shown loses the space before.
    """
    shown = {
        "history": _listed(row),
        "user_rate": row.user_rate,
        "user_code": row.user_code,
        "title": None if row.title is None else quoted(row.title),
        "item_rate": row.item_rate,
        "item_code": row.item_code,
    }
    prefix, suffix = "", ""
    for part in wording:
        place = place_of(part)
        if place is not None and shown[place] is None:
            continue
        text = part.format_map(shown)
        if not prefix and not suffix:
            text = text.lstrip()
        if suffix or place in ITEM_PLACES or part is wording[-1]:
            suffix += text
        else:
            prefix += text
    return Prompt(prefix, suffix)


@cache
def place_of(part: str) -> str | None:
    """Returns the name of a part's place; None of one that always stands there.

    Raises:
        ValueError: braces that are no place, an unknown name, or more than one.
    """
    found = [name for _, name, _, _ in Formatter().parse(part) if name is not None]
    known = (*USER_PLACES, *ITEM_PLACES)
    if len(found) > 1 or not set(found) <= set(known):
        raise ValueError(f"{part!r}: expected at most one place, of {', '.join(known)}")
    return found[0] if found else None


def _listed(row: Row) -> str | None:
    """Returns the liked items: titles, codes, or each title with its code in brackets."""
    codes = row.history_codes
    if row.history is None and codes is None:
        return None
    if row.history is None:
        liked = list(codes or ())
    else:
        liked = [quoted(title) for title in row.history]
        if codes is not None:
            liked = [f"{title} ({code})" for title, code in zip(liked, codes, strict=True)]
    return ", ".join(liked) if liked else EMPTY_HISTORY


def build_prompts(
    rows: Sequence[Row],
    tokenizer: "PreTrainedTokenizerBase",
    max_tokens: int,
    progress: Progress | None = None,
    wording: Sequence[str] = WORDING,
) -> BuiltPrompts:
    """Builds prompts of at most `max_tokens` tokens; longer ones lose their oldest titles.

    Args:
        rows: what the prompts are made of.
        tokenizer: the LLM's.
        max_tokens: largest length of a whole prompt in tokens.
        progress: advanced by rows.
        wording: see `build_prompt`.

    Raises:
        InputError: a prompt is too long even without any title of the history.
    """
    built = BuiltPrompts()
    for start in range(0, len(rows), _TOKENIZED_AT_ONCE):
        part = rows[start : start + _TOKENIZED_AT_ONCE]
        prompts = [build_prompt(row, wording) for row in part]
        lengths = _lengths(tokenizer, prompts)
        for row, prompt, length in zip(part, prompts, lengths, strict=True):
            if length > max_tokens:
                dropped, prompt, length = _shorten(row, tokenizer, max_tokens, wording)
                built.shortened += 1
                built.titles_dropped += dropped
            built.prompts.append(prompt)
            built.n_tokens.append(length)
        if progress:
            progress.advance(len(part))
    return built


def _lengths(tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[Prompt]) -> list[int]:
    texts = [prompt.prefix + prompt.suffix for prompt in prompts]
    # Counted where they are made: to hand over the ids as well takes as long again.
    backend: Any = tokenizer
    return list(map(len, backend.backend_tokenizer.encode_batch_fast(texts)))


def _shorten(
    row: Row, tokenizer: "PreTrainedTokenizerBase", max_tokens: int, wording: Sequence[str]
) -> tuple[int, Prompt, int]:
    """Drops as few of the oldest titles as needed; returns how many, the prompt, its length."""
    titles, codes = row.history, row.history_codes
    for dropped in range(1, len(titles or codes or []) + 1):
        shorter = replace(
            row,
            history=None if titles is None else titles[dropped:],
            history_codes=None if codes is None else codes[dropped:],
        )
        prompt = build_prompt(shorter, wording)
        length = _lengths(tokenizer, [prompt])[0]
        if length <= max_tokens:
            return dropped, prompt, length
    raise InputError(
        f"row {row.row}: the prompt has over {max_tokens} tokens even without history "
        f"(title of {len(row.title or '')} characters); raise materialize_prompts.max_tokens"
    )


def code_texts(
    codes: Mapping[str, Sequence], ids: str, *, form: Form, untrained: str
) -> dict[int, str]:
    """Returns each id's code as it stands in a prompt.

    Args:
        codes: columns of a code table.
        ids: name of the id column.
        form: how codes are written.
        untrained: what stands for a user or item without training row: `learned`, the code as it
            is, or `word`, the word "unknown".
    """
    texts = map(WRITTEN[form], codes["packed"])
    return {
        key: text if trained or untrained == "learned" else UNKNOWN
        for key, text, trained in zip(codes[ids], texts, codes["trained"], strict=True)
    }
