"""Seeded damage for the fuzzers: to bytes, to rows of a text file, to values of JSON."""

import copy
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

INSERTED = [
    *(b'"', b'""', b",", b"\t", b"\n", b"\r", b"\r\n", b";", b":", b"::", b"|", b" ", b"\\", b"'"),
    *(b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xef\xb7\x90"),
    *(b"0", b"9", b"-", b"+", b".", b"e9", b"0x", b"_", b"nan", b"inf", b"1e999", b"true", b"null"),
    *(b"{", b"}", b"[", b"]", b"\\ud800", b"\\u0000", b'"a":1,', b'"asin": "x",', b"\xc2\x85"),
]
FIELDS = [
    *(
        b"",
        b" ",
        b"0",
        b"-1",
        b"+5",
        b"007",
        b" 7 ",
        b"1.5",
        b"5.",
        b".5",
        b"1e3",
        b"1E-2",
        b"0x1F",
    ),
    *(
        b"1_000",
        b"1,000",
        b"9" * 20,
        b"9" * 400,
        b"nan",
        b"-inf",
        b"1e400",
        b"true",
        b"NULL",
        b"N/A",
    ),
    *(b"1490000000", b"1490000000000", b"20200131", b"2020-01-31", b"2020-01-31T08:00:00Z", b"1/2"),
    *("é".encode(), "\uff11".encode(), "\u0663".encode(), "\ufdd0".encode(), "\u2028".encode()),
    *(b"\xe9", b"\0", b"\xef\xbb\xbfx", b"<|im_end|>", b"=1+1", b'"', b'""', b'"a"', b'"a\nb"'),
    *(b'"a""b"', b'"a"b', b'a"b', b' "a"', b'"a" ', b"'a'", b'"a,b\t;:|c"', b"\\N", b"x" * 5000),
]
JSON_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 1.5, 2, -0.0, 1e300, 10**9, 10**19, 10**400, float("nan")),
    *(
        float("inf"),
        "",
        " ",
        "x",
        "0",
        "4.0",
        " 4 ",
        "1_0",
        "nan",
        "1e999",
        "\ud800",
        "\0",
        "\ufdd0",
    ),
    *("\u2028", "é", "../x", "/etc/passwd", "x" * 3000, [], {}, [1], ["x"], {"a": 1}, [[[]]]),
]


def damaged_bytes(whole: bytes, rng: random.Random, most: int = 4) -> bytes:
    """Flips, inserts, removes, doubles or overwrites bytes in one to `most` places, or cuts."""
    raw = bytearray(whole)
    for _ in range(rng.randint(1, most)):
        at = rng.randrange(len(raw) + 1)
        to = min(len(raw), at + rng.randrange(1, 40))
        kind = rng.randrange(7)
        if kind == 0 and at < len(raw):
            raw[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            raw[at:at] = rng.choice(INSERTED)
        elif kind == 2:
            del raw[at:to]
        elif kind == 3:
            raw[to:to] = raw[at:to]
        elif kind == 4:
            raw[at : at + 1] = rng.choice(INSERTED)
        elif kind == 5:
            raw[at:to] = rng.choice((bytes(to - at), rng.randbytes(4), b"\xff" * (to - at)))
        elif rng.random() < 0.2:
            del raw[at:]
    return bytes(raw)


# Rows of a text file: lists of fields, an end each.


def damaged_rows(whole: bytes, separator: bytes, rng: random.Random) -> bytes:
    """Swaps, doubles, removes or changes lines, columns, fields, line ends, or the encoding."""
    lines = [line.split(separator) for line in whole.split(b"\n")]
    end = b"\n"
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind = rng.randrange(10)
        if kind < 2 and lines:
            _change_lines(lines, rng)
        elif kind < 4 and lines:
            _change_columns(lines, rng)
        elif kind < 9 and lines:
            _change_field(rng.choice(lines), rng)
        else:
            end = rng.choice((b"\r\n", b"\r", b"\n\n", b" \n", b"\n\r"))
    raw = end.join(separator.join(line) for line in lines)
    return _written_otherwise(raw, rng) if rng.random() < 0.15 else raw


def _change_lines(lines: list[list[bytes]], rng: random.Random) -> None:
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(6)
    if kind == 0:
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == 1:
        lines.insert(one, list(lines[other]))
    elif kind == 2:
        del lines[one]
    elif kind == 3:
        lines[one:one] = rng.choice(([[b""]], [[b" "]], [[b"# a"]], [[b'"']], [[b"", b""]]))
    elif kind == 4:
        lines[one] = lines[one] + lines[other]
    else:
        lines += [list(line) for line in lines]


def _change_columns(lines: list[list[bytes]], rng: random.Random) -> None:
    width = max(len(line) for line in lines)
    one, other, kind = rng.randrange(width), rng.randrange(width), rng.randrange(4)
    for line in lines if rng.random() < 0.7 else [rng.choice(lines)]:
        if max(one, other) >= len(line):
            continue
        if kind == 0:
            line[one], line[other] = line[other], line[one]
        elif kind == 1:
            line.insert(one, line[other])
        elif kind == 2 and len(line) > 1:
            del line[one]
        elif kind == 3:
            line[one] = b'"' + line[one].replace(b'"', b'""') + b'"'


def _change_field(line: list[bytes], rng: random.Random) -> None:
    place = rng.randrange(len(line))
    kind = rng.randrange(4)
    if kind == 0:
        line[place] = b'"' + line[place] + b'"'
    elif kind == 1:
        line[place] = line[place][::-1]
    else:
        line[place] = rng.choice(FIELDS)


def _written_otherwise(raw: bytes, rng: random.Random) -> bytes:
    text = raw.decode("utf-8", "surrogateescape")
    kind = rng.randrange(5)
    if kind == 0:
        return b"\xef\xbb\xbf" + raw
    if kind == 1:
        return text.encode("utf-16", "replace")
    if kind == 2:
        return text.encode("utf-16-le", "replace")
    if kind == 3:
        return text.encode("latin-1", "replace")
    return raw.rstrip(b"\n")


def damaged_text(whole: bytes, separator: bytes, rng: random.Random) -> bytes:
    """Damages bytes, rows, or both."""
    kind = rng.randrange(5)
    raw = damaged_rows(whole, separator, rng) if kind < 3 else whole
    return damaged_bytes(raw, rng, 2) if kind > 1 else raw


# JSON.


def damaged_json(value: Any, rng: random.Random) -> Any:
    """Changes, removes, renames, moves, nests or unpacks one to three values of a JSON value."""
    found = [json.loads(json.dumps(value))]  # a list around it, so that all of it may change
    for _ in range(rng.choice((1, 1, 2, 3))):
        place, key = _place(found, rng)
        rng.choice(_CHANGES)(place, key, rng)
        found = found or [None]
    return found[0]


def _place(root: Any, rng: random.Random) -> tuple[Any, Any]:
    """Returns a list or an object, and the index or key of one of its values."""
    place, key = root, 0
    while True:
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.15:
            return place, key
        place = inner
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))


def _replace(place: Any, key: Any, rng: random.Random) -> None:
    place[key] = copy.deepcopy(rng.choice(JSON_VALUES))


def _remove(place: Any, key: Any, rng: random.Random) -> None:
    del place[key]


def _wrap(place: Any, key: Any, rng: random.Random) -> None:
    inner = place[key]
    place[key] = rng.choice(([inner], {"a": inner}, [inner, copy.deepcopy(inner)]))


def _unwrap(place: Any, key: Any, rng: random.Random) -> None:
    inner = place[key]
    if isinstance(inner, dict | list) and inner:
        place[key] = rng.choice(list(inner.values()) if isinstance(inner, dict) else inner)
    else:
        place[key] = str(inner)


def _rename(place: Any, key: Any, rng: random.Random) -> None:
    if isinstance(place, dict):
        place[rng.choice((f"{key}x", key.upper(), "", "a", f" {key}"))] = place.pop(key)
    else:
        place.append(copy.deepcopy(place[key]))


def _swap(place: Any, key: Any, rng: random.Random) -> None:
    other = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
    place[key], place[other] = place[other], place[key]


def _nudge(place: Any, key: Any, rng: random.Random) -> None:
    value = place[key]
    if isinstance(value, bool):
        place[key] = not value
    elif isinstance(value, int | float) and abs(value) < 1e300:
        place[key] = rng.choice((value + 1, value - 1, -value, value * 2, value * 0.5, str(value)))
    elif isinstance(value, str):
        place[key] = rng.choice((value + "x", value[:-1], value.upper(), f" {value} "))
    else:
        _replace(place, key, rng)


def _bury(place: Any, key: Any, rng: random.Random) -> None:
    for _ in range(rng.choice((2, 60, 300))):
        place[key] = [place[key]]


def _reorder(place: Any, key: Any, rng: random.Random) -> None:
    if isinstance(place, dict):
        for name in rng.sample(list(place), len(place)):
            place[name] = place.pop(name)
    else:
        rng.shuffle(place)


_CHANGES: list[Callable[[Any, Any, random.Random], None]] = [
    *(_replace, _replace, _nudge, _nudge, _remove, _rename, _swap, _wrap, _unwrap, _bury, _reorder)
]


def json_text(value: Any, rng: random.Random) -> str:
    """Writes JSON in one of several ways; now and then with a key twice."""
    separators = rng.choice(((", ", ": "), (",", ":"), (" ,\t", " : ")))
    text = json.dumps(value, ensure_ascii=rng.random() < 0.8, separators=separators)
    if isinstance(value, dict) and value and rng.random() < 0.1:
        key = json.dumps(rng.choice(list(value)))
        twice = f"{key}:{json.dumps(rng.choice(JSON_VALUES))}"
        text = f"{{{twice},{text[1:]}" if rng.random() < 0.5 else f"{text[:-1]},{twice}}}"
    return text


def damaged_object(whole: bytes, rng: random.Random) -> bytes:
    """Damages a JSON file: its values, or bytes."""
    if rng.random() < 0.2:
        return damaged_bytes(whole, rng)
    text = json_text(damaged_json(json.loads(whole), rng), rng)
    return text.encode("utf-8", "surrogatepass")


def damaged_lines(whole: bytes, rng: random.Random) -> bytes:
    """Damages JSON lines: values of some, their order, or bytes."""
    kind = rng.randrange(5)
    if kind == 0:
        return damaged_bytes(whole, rng)
    if kind == 1:
        return damaged_rows(whole, b", ", rng)
    lines = whole.removesuffix(b"\n").split(b"\n")
    for _ in range(rng.choice((1, 1, 3, len(lines)))):
        at = rng.randrange(len(lines))
        text = json_text(damaged_json(json.loads(whole.split(b"\n")[at]), rng), rng)
        lines[at] = text.encode("utf-8", "surrogatepass")
    raw = b"\n".join(lines) + b"\n"
    return damaged_bytes(raw, rng, 1) if kind == 2 else raw


# Safetensors, and folders.


def parted(whole: bytes) -> tuple[dict[str, Any], bytes]:
    """Returns the header and the numbers of a sound safetensors file."""
    size = int.from_bytes(whole[:8], "little")
    return json.loads(whole[8 : 8 + size]), whole[8 + size :]


def damaged_safetensors(whole: bytes, rng: random.Random) -> bytes:
    """Damages the header's values, the numbers, the header's length, or any bytes."""
    kind = rng.randrange(8)
    if kind == 0:
        return damaged_bytes(whole, rng)
    if kind == 1:
        return whole[: rng.randrange(len(whole))]
    header, numbers = parted(whole)
    if kind == 2:
        numbers = damaged_bytes(numbers, rng)
    elif kind == 3:
        at = rng.randrange(len(numbers) // 4) * 4
        odd = rng.choice((b"\0\0\x80\x3f", b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\0\0\x80\xff"))
        numbers = numbers[:at] + odd + numbers[at + 4 :]
    elif kind == 4:
        _swap_tensors(header, rng)
    else:
        header = damaged_json(header, rng)
    text = json_text(header, rng).encode("utf-8", "surrogatepass")
    size = len(text) if rng.random() < 0.95 else rng.choice((0, 1, len(text) + 1, 2**31, 2**63))
    return size.to_bytes(8, "little") + text + numbers


def _swap_tensors(header: dict[str, Any], rng: random.Random) -> None:
    one, other = rng.sample([name for name in header if name != "__metadata__"], 2)
    key = rng.choice(("data_offsets", "shape", "dtype"))
    if rng.random() < 0.5:
        header[one][key], header[other][key] = header[other][key], header[one][key]
    elif rng.random() < 0.5:
        header[one], header[other] = header[other], header[one]
    else:
        header[one]["dtype"] = rng.choice(("F16", "BF16", "I32", "F64", "U8", "BOOL", "F8_E4M3"))


def damage_folder(folder: Path, names: Sequence[str], rng: random.Random) -> None:
    """Damages, removes, empties, exchanges or adds a file of a folder."""
    name, other = rng.choice(names), rng.choice(names)
    path = folder / name
    kind = rng.randrange(20)
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.write_bytes(b"")
    elif kind == 2:
        path.write_bytes((folder / other).read_bytes())
    elif kind == 3:
        content = rng.choice((b"", b"{}", b"[]", b'{"a": 1}', path.read_bytes()))
        (folder / rng.choice(EXTRA)).write_bytes(content)
    elif kind == 4:
        path.unlink()
        path.mkdir()
    elif path.suffix == ".safetensors":
        path.write_bytes(damaged_safetensors(path.read_bytes(), rng))
    else:
        path.write_bytes(damaged_object(path.read_bytes(), rng))


EXTRA = (
    *("model.safetensors.index.json", "adapter_config.json", "adapter_model.safetensors"),
    *("adapter_model.bin", "pytorch_model.bin", "generation_config.json", "added_tokens.json"),
    *("special_tokens_map.json", "chat_template.jinja", "vocab.json", "merges.txt", "x.py"),
    *(
        "tokenizer.model",
        "tokenizer_config.json",
        "config.json",
        "model-00001-of-00002.safetensors",
    ),
)
