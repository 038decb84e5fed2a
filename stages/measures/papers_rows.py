"""Titles of the paper's own rows, and its figures for them; `plan` reads them, no other stage.

Compared methods say theirs in their own files. Figures are (AUC, UAUC) by data set, of the paper's
Tables 2 and 3, whose LLM is Vicuna-7B.
"""

Figures = dict[str, tuple[float, float]]

# Step 1 is TALLRec; of compressed codes the paper gives the time alone (section 3.3.2).
VARIANTS: dict[str, tuple[str, Figures]] = {
    "text": ("TALLRec", {"ml-1m": (0.7097, 0.6818), "amazon-book": (0.7375, 0.5983)}),
    "codes": ("BinLLM", {"ml-1m": (0.7425, 0.6956), "amazon-book": (0.8264, 0.6319)}),
    "id_only": ("BinLLM, ID-only", {"ml-1m": (0.7307, 0.6797), "amazon-book": (0.8173, 0.5919)}),
    "intuitive": (
        "BinLLM, intuitive tuning",
        {"ml-1m": (0.7286, 0.6842), "amazon-book": (0.8246, 0.6165)},
    ),
    "compressed": ("BinLLM, compressed", {}),
    "rates": ("titles and rates, no codes", {}),
}
# What codes score without an LLM.
CODES: dict[str, tuple[str, Figures]] = {
    "taste": ("codes of taste", {}),
    "binmf": ("BinMF", {"ml-1m": (0.7189, 0.6654), "amazon-book": (0.8087, 0.5895)}),
}


def of_variant(name: str) -> tuple[str, Figures]:
    """Returns what the table calls a variant of BinLLM, and the paper's figures for it."""
    return VARIANTS.get(name, (f"BinLLM, {name.replace('_', ' ')}", {}))


def of_codes(name: str) -> tuple[str, Figures]:
    """Returns what the table calls a set of codes' own scores, and the paper's figures for them."""
    return CODES.get(name, (f"codes, {name.replace('_', ' ')}", {}))
