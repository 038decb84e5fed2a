"""The sets of scores that are measured, in the order in which they are shown."""

LLM_METHODS = ("text", "codes")
BASELINE = "binmf"
METHODS = (*LLM_METHODS, BASELINE)
TITLES = {"text": "text", "codes": "codes", "binmf": "BinMF"}
