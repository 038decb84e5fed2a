"""Amazon Reviews 2023, category All Beauty: 700,000 reviews."""

from stages.datasets.building.amazon_2023 import category

DATASET = category("All_Beauty")
