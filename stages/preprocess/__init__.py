"""Labels, splits, histories and ids from raw interactions: `python -m stages.preprocess`."""
