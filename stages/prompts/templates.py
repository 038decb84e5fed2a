"""How each method's prompt differs from the text prompt: more text, or soft tokens.

Each function returns what `stages.prompts.rows.read_prompts` takes as `template`.
"""

from collections.abc import Sequence

from stages.prompts.rows import Template
from stages.prompts.tokenizer import mark

# Places of Prompt4NR's template that hold soft tokens.
SOFT_PLACES = 3


def with_examples(examples: Sequence[str]) -> Template:
    """In-context learning: answered prompts stand before the question, the same for all rows."""
    before = "".join(f"{example}\n\n" for example in examples)
    return lambda uid, iid, prefix, suffix: (before + prefix, suffix)


def with_soft_prompt(tokens: int) -> Template:
    """Prompt4NR's continuous template (Zhang & Wang 2023, section 3.1), as a question.

    `tokens` soft tokens each before the user's history, before the candidate and before what is
    to be answered: numbers 0.., all rows the same.
    """
    history, candidate, answer = (
        "".join(map(mark, range(place * tokens, (place + 1) * tokens)))
        for place in range(SOFT_PLACES)
    )

    def template(uid: int, iid: int, prefix: str, suffix: str) -> tuple[str, str]:
        fields, question = suffix.rsplit("\n", 1)
        return history + prefix + candidate, f"{fields}{answer}\n{question}"

    return template


def with_ids(n_users: int) -> Template:
    """Soft tokens for user and candidate, where BinLLM has their codes, after the same words.

    User u is soft token u, item i is soft token n_users + 1 + i: (padding, users, padding, items)
    in one table.
    """

    def template(uid: int, iid: int, prefix: str, suffix: str) -> tuple[str, str]:
        fields, question = suffix.rsplit("\n", 1)
        return (
            f"{prefix}\nUser code:{mark(uid)}",
            f"{fields}\nItem code:{mark(n_users + 1 + iid)}\n{question}",
        )

    return template


def count_of_ids(n_users: int, n_items: int) -> int:
    """Returns how many soft tokens `with_ids` needs."""
    return n_users + 1 + n_items + 1
