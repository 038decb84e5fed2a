"""Measures predictions: AUC, UAUC, NDCG, intervals, slices, differences, and plots' data."""
