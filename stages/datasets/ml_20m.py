"""MovieLens-20M, of 2016."""

from stages.datasets.building.movielens import release

DATASET = release("ml-20m", "cd245b17a1ae2cc31bb14903e1204af3")
