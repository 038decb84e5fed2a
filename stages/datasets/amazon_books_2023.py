"""Amazon Reviews 2023, category Books: 29 million reviews."""

from stages.datasets.building.amazon_2023 import category

DATASET = category("Books")
