"""MovieLens-32M, of 2024."""

from stages.datasets.building.movielens import release

DATASET = release("ml-32m", "d472be332d4daa821edc399621853b57")
