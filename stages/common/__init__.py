"""What every stage shares: params, tables, ranking metrics, seeds, progress."""
