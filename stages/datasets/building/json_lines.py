"""Streaming a few columns out of huge gzipped JSON lines, some of which may be broken.

One thread inflates while Arrow parses the block before. A block that Arrow refuses is read again
line by line, so that one bad line costs its block's speed and nothing else.
"""

import json
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from stages.io.errors import InputError
from stages.io.progress import Progress

Kind = Literal["text", "number"]
# A file with more bad lines than both is refused: it is another file, or a damaged one.
BAD_SHARE, BAD_LINES = 0.01, 10

_BLOCK = 16 << 20  # bytes of inflated text
_ARROW_CHUNK = 2 << 20
_NUMBER_TYPES = (pa.int64(), pa.float64(), pa.string())


@dataclass
class Counts:
    """What streaming a file found.

    Attributes:
        lines: all lines.
        broken: lines that are no JSON object.
        unusable: objects where a wanted field is missing or of another kind.
        as_text: numbers written as text, per field; they are taken.
    """

    lines: int = 0
    broken: int = 0
    unusable: int = 0
    as_text: dict[str, int] = field(default_factory=dict)
    first_bad: str = ""

    def note(self, path: Path, line: int, reason: str) -> None:
        """Remembers the first bad line for the message."""
        self.first_bad = self.first_bad or f"{path}: line {line}: {reason}"

    def refuse_too_many(self, path: Path) -> None:
        """Raises an `InputError` where the file has too many bad lines."""
        bad = self.broken + self.unusable
        if bad > max(BAD_LINES, BAD_SHARE * self.lines):
            raise InputError(f"{self.first_bad}; {bad} of {self.lines} lines of {path} are bad")


def stream(
    path: Path,
    fields: Mapping[str, Kind],
    counts: Counts,
    optional: frozenset[str] = frozenset(),
) -> Iterator[pa.Table]:
    """Yields the wanted columns block by block.

    Args:
        path: a gzip file with one JSON object per line.
        fields: the wanted fields; numbers become float64.
        counts: filled in as blocks are read.
        optional: text fields that may be missing or of another kind: null then.

    Yields:
        The usable rows of a block, in the file's order.

    Raises:
        InputError: the file is missing, no gzip file, cut off, or has too many bad lines.
    """
    parser = LineParser(path, dict(fields), optional, counts)
    for block in _blocks(path):
        yield parser.parse(block)
    counts.refuse_too_many(path)


def _blocks(path: Path) -> Iterator[bytes]:
    """Yields inflated text in blocks of whole lines; inflates the next one meanwhile."""
    try:
        file = pa.OSFile(str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; is it the right data set?") from None
    progress = Progress(f"read {path.name}", file.size(), "bytes")
    done, rest = 0, b""
    try:
        with (
            file,
            pa.CompressedInputStream(file, "gzip") as inflated,
            ThreadPoolExecutor(max_workers=1) as pool,
        ):
            ahead = pool.submit(inflated.read, _BLOCK)
            while piece := ahead.result():
                position = file.tell()
                ahead = pool.submit(inflated.read, _BLOCK)
                progress.advance(position - done)
                done = position
                end = piece.rfind(b"\n") + 1
                if end:
                    yield rest + piece[:end]
                    rest = piece[end:]
                else:
                    rest += piece
    except OSError as error:
        raise InputError(
            f"{path}: cut off or no gzip file, after byte {done}: {' '.join(str(error).split())}"
        ) from None
    if rest:
        yield rest + b"\n"
    progress.close()


@dataclass
class LineParser:
    """Parses blocks of lines of one file, in order.

    Attributes:
        path: the file, for messages.
        fields: the wanted fields; numbers become float64.
        optional: text fields that may be missing or of another kind: null then.
        counts: filled in.
    """

    path: Path
    fields: dict[str, Kind]
    optional: frozenset[str]
    counts: Counts

    def __post_init__(self) -> None:
        """Lists the ways in which the fields may be written."""
        kinds = [
            [pa.string()] if kind == "text" else _NUMBER_TYPES for kind in self.fields.values()
        ]
        # How numbers are written differs between files, seldom within one: the schema that fits
        # is tried first on the next block.
        self._schemas = [
            pa.schema(zip(self.fields, types, strict=True)) for types in product(*kinds)
        ]
        for name, kind in self.fields.items():
            if kind == "number":
                self.counts.as_text.setdefault(name, 0)

    def parse(self, block: bytes) -> pa.Table:
        """Returns the block's usable rows, and counts the others."""
        table = self._parse_at_once(block)
        if table is None:
            table = self._parse_by_line(block)
        else:
            usable = self._usable(table)
            unusable = len(usable) - int(pc.sum(usable).as_py() or 0)
            if unusable:
                row = pc.index(usable, False).as_py()
                self._note_unusable(self.counts.lines + row + 1, unusable)
                table = table.filter(usable)
        self.counts.lines += block.count(b"\n")
        return table

    def _parse_at_once(self, block: bytes) -> pa.Table | None:
        """Parses with Arrow; None where it cannot, or found other rows than there are lines."""
        if not _begin_as_objects(block):
            return None
        try:
            block.decode("utf-8")  # Arrow does not look at bytes of fields that nobody wants
        except UnicodeDecodeError:
            return None
        for schema in list(self._schemas):
            try:
                table = pyarrow.json.read_json(
                    pa.BufferReader(block),
                    read_options=pyarrow.json.ReadOptions(block_size=_ARROW_CHUNK),
                    parse_options=pyarrow.json.ParseOptions(
                        explicit_schema=schema, unexpected_field_behavior="ignore"
                    ),
                )
                numbers = self._numbers(table)
                numbers.validate(full=True)  # Arrow takes bytes that are no UTF-8
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                continue
            if table.num_rows != block.count(b"\n"):
                return None
            self._schemas.remove(schema)
            self._schemas.insert(0, schema)
            for name, kind in self.fields.items():
                if kind == "number" and schema.field(name).type == pa.string():
                    self.counts.as_text[name] += table.num_rows - table[name].null_count
            return numbers
        return None

    def _numbers(self, table: pa.Table) -> pa.Table:
        return pa.table(
            {
                name: table[name].cast(pa.float64()) if kind == "number" else table[name]
                for name, kind in self.fields.items()
            }
        )

    def _usable(self, table: pa.Table) -> pa.ChunkedArray:
        usable = pa.chunked_array([pa.repeat(True, table.num_rows)])
        for name, kind in self.fields.items():
            if kind == "number":
                usable = pc.and_(usable, pc.fill_null(pc.is_finite(table[name]), False))
            elif name not in self.optional:
                usable = pc.and_(usable, pc.greater(pc.utf8_length(table[name].fill_null("")), 0))
        return usable

    def _parse_by_line(self, block: bytes) -> pa.Table:
        rows: dict[str, list[Any]] = {name: [] for name in self.fields}
        # Not `splitlines`: it also splits at characters that may stand inside of a text.
        for number, line in enumerate(block.split(b"\n")[:-1], start=self.counts.lines + 1):
            try:
                found = json.loads(line.decode("utf-8"))
                if not isinstance(found, dict):
                    raise ValueError("no JSON object")
            except (ValueError, RecursionError) as error:
                self.counts.broken += 1
                self.counts.note(self.path, number, f"broken JSON: {error}")
                continue
            values = [self._value(name, found.get(name)) for name in self.fields]
            missing = [
                value is None and name not in self.optional
                for name, value in zip(self.fields, values, strict=True)
            ]
            if any(missing) or any(map(_has_lone_surrogate, values)):
                self._note_unusable(number, 1)
                continue
            for name, value in zip(self.fields, values, strict=True):
                rows[name].append(value)
                if self.fields[name] == "number" and isinstance(found[name], str):
                    self.counts.as_text[name] += 1
        types = {"text": pa.string(), "number": pa.float64()}
        return pa.table(
            {name: pa.array(rows[name], types[kind]) for name, kind in self.fields.items()}
        )

    def _value(self, name: str, value: Any) -> str | float | None:
        """Returns the field's value, or None where it is not of its kind."""
        if self.fields[name] == "text":
            return value if isinstance(value, str) and (value or name in self.optional) else None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None

    def _note_unusable(self, line: int, n: int) -> None:
        self.counts.unusable += n
        wanted = ", ".join(
            f"{name} ({kind})" for name, kind in self.fields.items() if name not in self.optional
        )
        self.counts.note(self.path, line, f"expected {wanted}")


def _begin_as_objects(block: bytes) -> bool:
    """Whether every line begins with a brace: where one is `null`, Arrow ends the process."""
    if block.count(b"\r") != block.count(b"\r\n"):  # Arrow parts lines there as well
        return False
    return block.startswith(b"{") and block.count(b"\n{") + 1 == block.count(b"\n")


def _has_lone_surrogate(value: str | float | None) -> bool:
    """Whether a text holds half a character, which JSON can write and UTF-8 cannot."""
    return isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value)
