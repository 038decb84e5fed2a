"""Writes the codes as tables: `python -m stages.export_codes`.

Reads models/hash/ and data/interactions/{users,items}.parquet; writes
data/codes/{users,items}.parquet.
"""

from pathlib import Path

from stages.common.errors import run_stage
from stages.common.tables import ITEM_CODES, ITEMS, USER_CODES, USERS, read_table, write_table
from stages.export_codes.export import code_table, read_codes


def main() -> None:
    """Writes one line per user and per item, with the code as bits, bytes and dot-decimal."""
    source = Path("models/hash/codes.safetensors")
    codes = read_codes(source)
    tables = {}
    for name, key, schema in (("users", "uid", USERS), ("items", "iid", ITEMS)):
        known = read_table(Path(f"data/interactions/{name}.parquet"), schema, [key, "n_train"])
        tables[name] = code_table(codes[name], known, key=key, path=source)
    write_table(tables["users"], Path("data/codes/users.parquet"), USER_CODES)
    write_table(tables["items"], Path("data/codes/items.parquet"), ITEM_CODES)


if __name__ == "__main__":
    run_stage(main)
