"""The metrics of the table: one file each, named as in `metrics/evaluate.json`."""
