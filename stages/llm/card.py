"""What goes with an adapter to others: a public name of its base LLM, and a model card."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from stages.llm.params import Score
from stages.prompts.text import Row, build_prompt
from stages.prompts.tokenizer import ANSWERS

# What stands in a prompt, said where a value would stand.
_LIKED = ("oldest of the liked titles", "…", "latest of the liked titles")
_VALUES: dict[str, dict[str, Any]] = {
    "titles": {"history": _LIKED, "title": "title"},
    "rates": {"user_rate": "[level; 5 is average]", "item_rate": "[level; 5 is average]"},
    "codes": {"user_code": "[code of the user]", "item_code": "[code of the item]"},
    "history_codes": {"history_codes": ("code", "…", "code")},
}
_SCORES: dict[Score, str] = {
    "yes_logit": 'the logit of "{0}" (id {2})',
    "yes_minus_no": 'the logit of "{0}" (id {2}) less that of "{1}" (id {3})',
}


def llm_facts(folder: Path) -> dict[str, Any]:
    """Returns what `fetch_llm` noted of the LLM in `folder`; nothing where it did not write it."""
    path = folder / "llm.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def name_base(config: Path, facts: Mapping[str, Any]) -> None:
    """Names an adapter's base LLM as others know it, in place of a path of this project.

    PEFT asks the Hub for what stands there. An LLM that has no place there is null: whoever loads
    the adapter has to hand PEFT the LLM.

    Args:
        config: `adapter_config.json`, changed in place.
        facts: `llm.json`.
    """
    content = json.loads(config.read_text(encoding="utf-8"))
    content["base_model_name_or_path"] = facts.get("base")
    content["revision"] = facts.get("base_revision")
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def prompt_form(shown: Collection[str]) -> str:
    """Returns a prompt with these fields, the values named instead of given."""
    fields: dict[str, Any] = {"history": None, "title": None}
    for name in shown:
        fields |= _VALUES[name]
    prompt = build_prompt(Row(row=0, **fields))
    return prompt.prefix + prompt.suffix


def model_card(
    name: str,
    facts: Mapping[str, Any],
    *,
    shown: Collection[str],
    score: Score,
    answer_ids: Collection[int],
    params: Mapping[str, Any],
    known: Mapping[str, Any],
    merged: bool = False,
) -> str:
    """Returns the card in Markdown, with the Hub's YAML in front.

    Args:
        name: of the variant.
        facts: `llm.json`.
        shown: the fields of its prompts.
        score: the number to rank by.
        answer_ids: token ids of " Yes" and " No" after a prompt.
        params: how it was trained.
        known: what is known of its quality; a mapping within is a line of its own.
        merged: whether the weights are those of the LLM with the adapter in them.
    """
    what = "LLM with its adapter merged in" if merged else "LoRA adapter (PEFT)"
    ids = [*ANSWERS, *answer_ids]
    return "\n".join(
        [
            *_front_matter(facts, merged),
            f"# BinLLM, `{name}`: {what}",
            "",
            "Will this user like this item? Made by a pipeline for BinLLM "
            "(Zhang et al., ACL 2024, 2024.acl-long.497).",
            "",
            "## Base LLM",
            "",
            _base(facts),
            "",
            "## Prompt",
            "",
            "No chat template, no system prompt; this and nothing else, without a line break at "
            "the end. Titles stand in double quotes, their own double quotes made single.",
            "",
            "```text",
            prompt_form(shown),
            "```",
            "",
            "## Score",
            "",
            f"After the prompt's last token, {_SCORES[score].format(*ids)}: the higher, the "
            "likelier a like. It ranks one user's items; it is no probability.",
            "",
            "## Known of it",
            "",
            *_lines(known),
            "",
            "## Trained by",
            "",
            "```json",
            json.dumps(params, indent=2),
            "```",
            "",
            "## Licence",
            "",
            "Weights are subject to the licence of the base LLM"
            + (f" ({facts['license']})" if "license" in facts else "")
            + " and to the terms of the data they were tuned on: MovieLens, for one, is for "
            "research, and not for commercial use without GroupLens' permission.",
            "",
        ]
    )


def _front_matter(facts: Mapping[str, Any], merged: bool) -> list[str]:
    base = [f"base_model: {facts['base']}"] if "base" in facts else []
    library = "transformers" if merged else "peft"
    return ["---", *base, f"library_name: {library}", "license: other", "---", ""]


def _base(facts: Mapping[str, Any]) -> str:
    origin = f"SHA-256 of what it was read from: `{facts.get('sha256', 'unknown')}`."
    if "dequantised_from" in facts:
        return (
            f"`{facts['base']}`, dequantised from `{facts['dequantised_from']}`: weights of few "
            "bits, which are not those of the Hub. On the Hub's weights scores come out somewhat "
            f"different; exact are the weights that `stages.fetch_llm` writes. {origin}"
        )
    if "base" in facts:
        return f"`{facts['base']}` at revision `{facts['base_revision']}`. {origin}"
    return f"A folder, or a part of an LLM, that has no place on the Hub. {origin}"


def _lines(known: Mapping[str, Any]) -> list[str]:
    return [
        f"- {name}: {value:.4f}" if isinstance(value, float) else f"- {name}: {value}"
        for name, value in known.items()
    ]
