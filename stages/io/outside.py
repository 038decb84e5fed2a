"""Tables from outside the project: columns of CSV, TSV and Parquet files, each value checked.

Text in which no quote stands has a row per line: Arrow splits it. Any other text goes through
Python's `csv` in strict mode, which joins quoted lines and refuses a quote that means nothing.
"""

import codecs
import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from stages.io.errors import InputError, shortened

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t"}
_RECBOLE = (".inter", ".item")  # headings like user_id:token, and no quoting
_COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_PARQUET = ".parquet"
ENDINGS = "CSV, TSV, RecBole's .inter and .item (each may end in .gz, .bz2 or .zst), or .parquet"

_LONGEST = 1 << 24  # characters of one value in quotes
_BLOCK = 1 << 24  # bytes that Arrow splits at once: no line is longer
_PIECE = 1 << 20  # bytes read at once
_ROWS_AT_ONCE = 1 << 16
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
# What a codec calls itself where the file begins with the bytes.
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class Written:
    """How a text file is written, as far as its name does not tell.

    Attributes:
        separator: the character between two values; None for what the file's ending says.
        encoding: a codec of Python's.
        quotes: whether `"` around a value is no part of it.
        keys: the section of `params.yaml` that holds these three, for messages; may be empty.
    """

    separator: str | None = None
    encoding: str = "utf-8"
    quotes: bool = True
    keys: str = ""

    def hint(self, key: str, how: str) -> str:
        """Returns what to do about a key, where there is one."""
        return f"; set {self.keys}.{key}{how}" if self.keys else ""


PLAIN = Written()


def ending(name: str) -> str | None:
    """Returns how a table's name ends, less compression, in lower case; None if it is none."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
        return suffixes[-1] if suffixes and suffixes[-1] in _SEPARATORS else None
    known = suffixes and (suffixes[-1] in _SEPARATORS or suffixes[-1] == _PARQUET)
    return suffixes[-1] if known else None


def tables_in(folder: Path) -> list[str]:
    """Returns the names of the tables at a folder's top; hidden ones are none."""
    found = (path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    return sorted(path.name for path in found if ending(path.name))


def read_columns(
    path: Path,
    columns: Sequence[str],
    *,
    texts: Collection[str],
    may_be_null: str | None = None,
    written: Written = PLAIN,
) -> pa.Table:
    """Reads columns of a Parquet, TSV or CSV file, told apart by name.

    Args:
        path: the file.
        columns: the columns to read; others are left out.
        texts: which of them are text; the others are what a Parquet file says, else text too.
        may_be_null: the one column where values may be empty.
        written: how it is written if it is a text file.

    Raises:
        InputError: the file is missing or damaged, lacks a column, or a value is empty.
    """
    columns = list(dict.fromkeys(columns))
    missing = lacking(path, dict.fromkeys(columns, ""), written)
    if missing:
        raise InputError(missing)
    if ending(path.name) == _PARQUET:
        table = _read_parquet(path, columns, texts)
    else:
        types = dict.fromkeys(columns, pa.string())
        table = _read_text(path, types, written)
    refuse_nulls(table.drop_columns([may_be_null]) if may_be_null else table, path)
    return table


def lacking(path: Path, wanted: Mapping[str, str], written: Written = PLAIN) -> str | None:
    """Returns what is wrong with the columns of a file, in one line; None if nothing is.

    Args:
        path: the file.
        wanted: column -> the key of `params.yaml` that names it; may be empty.
        written: how it is written if it is a text file.

    Raises:
        InputError: the file is missing, or its columns cannot be read.
    """
    names = columns_of(path, written)
    wrong = []
    for column, key in wanted.items():
        if names.count(column) != 1:
            what = f"has {names.count(column)} columns" if column in names else "no column"
            wrong.append(f"{what} {column!r}" + (f" ({key})" if key else ""))
    if not wrong:
        return None
    one = len(names) == 1 and ending(path.name) != _PARQUET
    hint = written.hint("separator", " if they are not separated") if one else ""
    zeros = any("\0" in name for name in names)
    hint = written.hint("encoding", ", as utf-16") if zeros else hint
    return f"{path}: {', '.join(wrong)}; it has {listed(names)}{hint}"


def columns_of(path: Path, written: Written = PLAIN) -> list[str]:
    """Returns a file's columns; of RecBole's headings, what stands before the colon.

    Raises:
        InputError: the file is missing, of an unknown kind, empty or damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file{_what_lies_in(path.parent)}")
    kind = ending(path.name)
    if kind is None:
        raise InputError(f"{path}: no table by its name; expected {ENDINGS}")
    with _in_one_line(path, written):
        if kind == _PARQUET:
            return list(pq.read_schema(path).names)
        return _header(path, _of_kind(kind, written))[0]


def listed(names: Sequence[str], most: int = 12) -> str:
    """Returns names in one short line."""
    shown = ", ".join(shortened(repr(name), 60) for name in names[:most])
    return shown + (f" ... ({len(names):,} in all)" if len(names) > most else "")


def _what_lies_in(folder: Path) -> str:
    if not folder.is_dir():
        return ""
    names = sorted(path.name for path in folder.iterdir())
    return f"; {folder} holds {listed(names) if names else 'nothing'}"


def _read_parquet(path: Path, columns: Sequence[str], texts: Collection[str]) -> pa.Table:
    with _in_one_line(path), pq.ParquetFile(path) as file:
        table = file.read(columns=list(columns)).select(columns)
        table.validate(full=True)  # a damaged file may hold lists and texts that end elsewhere
    for place, name in enumerate(columns):
        values = plain(table[name], path)
        if name in texts:
            values = _without_empty(cast(values, pa.string(), path, f"{name} as text"))
        table = table.set_column(place, name, values)
    return table


def _without_empty(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns texts, null where they are empty: a text file cannot tell the one from the other."""
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def plain(values: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    """Returns values without an encoding of their own: categories as what they are, one text."""
    if pa.types.is_dictionary(values.type):
        values = cast(values, values.type.value_type, path, "its categories")
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = cast(values, pa.string(), path, "text")
    return values


def _of_kind(kind: str, written: Written) -> Written:
    """Fills in what a file's ending says."""
    separator = written.separator or _SEPARATORS[kind]
    quotes = written.quotes and kind not in _RECBOLE
    return Written(separator, written.encoding, quotes, written.keys)


def _read_text(path: Path, types: Mapping[str, pa.DataType], written: Written) -> pa.Table:
    how = _of_kind(ending(path.name) or "", written)
    return read_delimited(
        path, delimiter=how.separator or "", types=types, may_be_null=types, written=how
    )


def read_delimited(
    path: Path,
    *,
    delimiter: str,
    types: Mapping[str, pa.DataType],
    names: Sequence[str] | None = None,
    may_be_null: Collection[str] = (),
    written: Written = PLAIN,
) -> pa.Table:
    """Reads columns of a text file, compressed or not.

    Args:
        path: the file.
        delimiter: one character.
        types: the columns to read and what they hold.
        names: the file's columns; None where its first line names them.
        may_be_null: the columns where values may be empty; the first one elsewhere is refused.
        written: its encoding, and whether `"` may stand around values.

    Raises:
        InputError: the file is missing, cut off, of another encoding, lacks a column, or holds a
            value of another type (with its row, counted from the file's first line).
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; is it the right data set?")
    how = Written(delimiter, written.encoding, written.quotes, written.keys)
    with _in_one_line(path, how):
        header, begin = (list(names), 0) if names else _header(path, how)
        places = []
        for name in types:
            if header.count(name) != 1:
                found = f"{header.count(name)} columns" if name in header else "no column"
                raise InputError(f"{path}: {found} {name!r}; it has {listed(header)}")
            places.append(header.index(name))
        split = _split_by_csv if how.quotes and _holds_quotes(path) else _split_by_line
        table = split(path, how, len(header), begin, dict(zip(places, types.values(), strict=True)))
        table = table.rename_columns(list(types))
    refuse_nulls(table.select([name for name in types if name not in may_be_null]), path)
    for name in table.column_names:
        if pa.types.is_floating(table[name].type):
            refuse_unless(pc.is_finite(table[name]), table[name], path, f"{name} a finite number")
    return table


def _split_by_line(
    path: Path, how: Written, width: int, begin: int, types: Mapping[int, pa.DataType]
) -> pa.Table:
    """Reads the columns at some places where every line is a row."""
    names = [str(place) for place in range(width)]
    with _stream(path) as stream:
        # One thread, since only then are errors told with their row.
        return pyarrow.csv.read_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(
                column_names=names,
                skip_rows=begin,
                use_threads=False,
                encoding=how.encoding,
                block_size=_BLOCK,
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=how.separator, quote_char=False),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={names[place]: kind for place, kind in types.items()},
                include_columns=[names[place] for place in types],
                null_values=[""],
                strings_can_be_null=True,
            ),
        )


def _split_by_csv(
    path: Path, how: Written, width: int, begin: int, types: Mapping[int, pa.DataType]
) -> pa.Table:
    """Reads the columns at some places where quotes may join lines."""
    pieces: list[list[pa.Array]] = [[] for _ in types]
    rows: list[list[str]] = []

    def keep() -> None:
        for place, kept in zip(types, pieces, strict=True):
            kept.append(pa.array([row[place] for row in rows], pa.string()))
        rows.clear()

    with _stream(path) as stream, _lines(stream, how) as lines:
        reader = _reader(lines, how)
        for row in reader:
            if reader.line_num <= begin or not row:  # the header, or an empty line
                continue
            if len(row) != width:
                raise InputError(
                    f"{path}: line {reader.line_num}: Expected {width} columns, got {len(row)}"
                )
            rows.append(row)
            if len(rows) == _ROWS_AT_ONCE:
                keep()
        keep()
    table = {}
    for (place, kind), kept in zip(types.items(), pieces, strict=True):
        texts = _without_empty(pa.chunked_array(kept, pa.string()))
        table[str(place)] = cast(texts, kind, path, f"column {place + 1} of type {kind}")
    return pa.table(table)


def _header(path: Path, how: Written) -> tuple[list[str], int]:
    """Returns the names in a file's first row, and the number of the line in which it ends."""
    with _stream(path) as stream, _lines(stream, how) as lines:
        reader = _reader(lines, how)
        row: list[str] = next((row for row in reader if row), [])
        if not row:
            raise InputError(f"{path}: empty; expected a first line that names the columns")
        if ending(path.name) in _RECBOLE and how.keys:
            row = [name.partition(":")[0] for name in row]
        return row, reader.line_num


def _reader(lines: io.TextIOWrapper, how: Written) -> Any:
    csv.field_size_limit(_LONGEST)
    delimiter = how.separator or ","
    if how.quotes:
        return csv.reader(lines, delimiter=delimiter, strict=True)
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)


def _holds_quotes(path: Path) -> bool:
    with _stream(path) as stream:
        while piece := stream.read(_PIECE):
            if b'"' in piece:
                return True
    return False


@contextmanager
def _stream(path: Path) -> Iterator[pa.NativeFile]:
    """Opens a file's bytes, inflated where its name says that they are compressed."""
    codec = _COMPRESSED.get(path.suffix.lower())
    with pa.OSFile(str(path)) as file:
        if codec is None:
            yield file
        else:
            with pa.CompressedInputStream(file, codec) as inflated:
                yield inflated


@contextmanager
def _lines(stream: pa.NativeFile, how: Written) -> Iterator[io.TextIOWrapper]:
    """Decodes bytes; a line ends at a line feed, a carriage return, or both."""
    is_utf8 = codecs.lookup(how.encoding).name == "utf-8"
    # Without the mark that some programs put before UTF-8.
    lines = io.TextIOWrapper(stream, "utf-8-sig" if is_utf8 else how.encoding, newline="")
    yield lines
    lines.detach()


@contextmanager
def _in_one_line(path: Path, written: Written = PLAIN) -> Iterator[None]:
    """Turns what the libraries raise about a file into one line that says what to do."""
    try:
        yield
    except InputError:
        raise
    except UnicodeError as error:
        raise InputError(_undecodable(path, written, str(error))) from None
    except csv.Error as error:
        hint = written.hint("quotes", "=false if quotes are characters like others")
        raise InputError(f'{path}: {error}; a value in " must end in one{hint}') from None
    except (pa.ArrowException, OSError) as error:
        message = shortened(" ".join(str(error).split()), 300)
        if "invalid UTF8" in message:
            message = _undecodable(path, written, message)
            raise InputError(message) from None
        raise InputError(f"{path}: {message}") from None


def _undecodable(path: Path, written: Written, reason: str) -> str:
    with path.open("rb") as file:
        mark = file.read(2)
    guess = _MARKS.get(mark, "latin-1 or cp1252")
    hint = written.hint("encoding", f", as {guess}")
    return f"{path}: not in {written.encoding}: {shortened(reason, 200)}{hint}"


def refuse_nulls(table: pa.Table, path: Path) -> None:
    """Raises an `InputError` that names the first row, counted from 1, with an empty value."""
    for name in table.column_names:
        if table[name].null_count:
            row = pc.index(table[name].is_null(), True).as_py() + 1
            raise InputError(f"{path}: row {row} of the data has no {name!r}")


def refuse_unless(
    fine: pa.ChunkedArray, values: pa.ChunkedArray, path: Path, expected: str
) -> None:
    """Raises an `InputError` that names the first row, counted from 1, that is not `fine`."""
    row = pc.index(fine, False).as_py()
    if row >= 0:
        raise InputError(
            f"{path}: row {row + 1} of the data: {_shown(values[row])}, expected {expected}"
        )


def numbers(values: pa.ChunkedArray, path: Path, what: str) -> pa.ChunkedArray:
    """Returns the values as float64, spaces around them aside.

    Raises:
        InputError: names the first row, counted from 1, whose value is no finite number.
    """
    values = plain(values, path)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    if pa.types.is_string(values.type):
        trimmed = pc.ascii_trim_whitespace(values)
        refuse_unless(pc.match_substring_regex(trimmed, _NUMBER), values, path, what)
        found = cast(trimmed, pa.float64(), path, what)
    else:
        found = cast(values, pa.float64(), path, what)
    refuse_unless(pc.is_finite(found), values, path, what)
    return found


def cast(values: pa.ChunkedArray, kind: pa.DataType, path: Path, what: str) -> pa.ChunkedArray:
    """Returns the values as `kind`.

    Raises:
        InputError: names the first row, counted from 1, whose value is no `what`.
    """
    refused = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError)
    try:
        return values.cast(kind)
    except refused:
        good, bad = 0, len(values)  # so many rows can, so many cannot be cast
        while bad - good > 1:
            middle = (good + bad) // 2
            try:
                values.slice(0, middle).cast(kind)
                good = middle
            except refused:
                bad = middle
        if not bad:
            raise InputError(f"{path}: no rows, of type {values.type}; expected {what}") from None
        found = _shown(values[bad - 1])
        raise InputError(f"{path}: row {bad} of the data: {found}, expected {what}") from None


def _shown(value: pa.Scalar) -> str:
    """Returns a value as a message shows it: short, on one line, whatever it is."""
    try:
        return shortened(repr(value.as_py()), 80)
    except (ValueError, OverflowError, UnicodeError, pa.ArrowException):
        return f"a value of type {value.type} that cannot be shown"
