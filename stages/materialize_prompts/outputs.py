"""What the stage writes: the table of prompts, and counts of them."""

import pyarrow as pa

from stages.llm.prompt_text import Built


def prompt_table(interactions: pa.Table, built: Built) -> pa.Table:
    """Returns the prompts beside their interactions' keys (schema PROMPTS)."""
    return pa.table(
        {
            **{name: interactions[name] for name in ("row", "uid", "iid", "label")},
            "prefix": [prompt.prefix for prompt in built.prompts],
            "suffix": [prompt.suffix for prompt in built.prompts],
            "n_tokens": built.n_tokens,
        }
    )


def summary(built: Built) -> dict[str, float]:
    """Returns counts for the metrics: prompts, tokens, and what was shortened."""
    lengths = built.n_tokens
    return {
        "prompts": len(lengths),
        "mean_tokens": round(sum(lengths) / max(1, len(lengths)), 2),
        "max_tokens": max(lengths, default=0),
        "shortened": built.shortened,
        "titles_dropped": built.titles_dropped,
    }
