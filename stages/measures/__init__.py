"""What is measured of scores, and how it is shown: metrics, intervals, the table, plots."""
