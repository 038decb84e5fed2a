"""Stage `materialize_prompts`: interactions (and codes) as prompts for the LLM."""
