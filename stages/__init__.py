"""BinLLM as a pipeline: one package per stage, over `collab`, `llm` and `common`."""
