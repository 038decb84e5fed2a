"""Brings a data set's raw files to `data/raw`: `python -m stages.fetch_data`."""
