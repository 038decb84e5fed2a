"""Stage `predict`: scores of the test rows, computed once."""
