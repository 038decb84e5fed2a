"""MovieLens-25M, of 2019."""

from stages.datasets.building.movielens import release

DATASET = release("ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada")
