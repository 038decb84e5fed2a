"""What data sets have in common: fetching, the protocol's splits, building and checking rows."""
