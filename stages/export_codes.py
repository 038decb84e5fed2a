"""Writes a set of codes as tables: `python -m stages.export_codes binmf|…`.

Reads models/hash/<set>/ and data/interactions/{users,items}.parquet; writes to data/codes/<set>/
users.parquet, as of now, and items.parquet; rows.parquet, users' codes as of each row; and
teacher.parquet, what the codes expect of train and validation rows; and where codes follow what
users like, liked.parquet and liked.json, by which people who came later have a code.
"""

from stages.collab.code_files import code_table, read_codes, read_codes_of_rows, read_liked
from stages.io.command import start
from stages.io.outputs import replacing
from stages.io.paths import INTERACTIONS_FOLDER, codes_folder, hash_model
from stages.io.tables import (
    ITEM_CODES,
    ITEMS,
    ROW_CODES,
    TEACHER,
    USER_CODES,
    USERS,
    read_json,
    read_table,
    write_table,
)
from stages.prompts.newcomers import write_liked

SIDES = {"users": ("uid", USERS, USER_CODES), "items": ("iid", ITEMS, ITEM_CODES)}


def main(codes: str) -> None:
    """Writes one line per user and per item, with the code as bits, bytes and dot-decimal."""
    source = hash_model(codes) / "codes.safetensors"
    learned = read_codes(source)
    of_rows = read_codes_of_rows(source.with_name("rows.safetensors"))
    liked = read_liked(source.with_name("liked.safetensors"))
    with replacing(codes_folder(codes)) as folder:
        for name, (key, known_schema, schema) in SIDES.items():
            path = INTERACTIONS_FOLDER / f"{name}.parquet"
            known = read_table(path, known_schema, [key, "n_train"])
            table = code_table(learned[name], known, key=key, path=source)
            write_table(table, folder / f"{name}.parquet", schema)
        write_table(of_rows.code_table(), folder / "rows.parquet", ROW_CODES)
        write_table(of_rows.teacher_table(), folder / "teacher.parquet", TEACHER)
        if liked is not None:
            history = read_json(source.with_name("codes.json"))["history"]
            write_liked(folder, liked, history)


if __name__ == "__main__":
    start(main, "codes")
