"""All methods in one table, on the same test rows, beside the paper's figures; and its plots."""
