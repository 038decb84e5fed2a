"""What every room stands on: errors, params, paths, tables, progress, seeds, scratch, downloads."""
