"""MovieLens latest small: 100,000 ratings; GroupLens replaces it from time to time."""

from stages.datasets.building.movielens import release

DATASET = release("ml-latest-small", None)
