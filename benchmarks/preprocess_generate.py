"""Writes Amazon-Book and MovieLens files of real shape and skew, of any size, seeded.

python -m benchmarks.preprocess_generate FOLDER --reviews 300000 [--seed 1]
python -m benchmarks.preprocess_generate FOLDER --ml-25m 1000000 [--seed 1]

Sizes per review follow the real `Books_5.json.gz` (27.2 M reviews, 1.86 M users, 0.70 M items, 14 %
of them in 2017, about 800 bytes each) and `meta_Books.json.gz` (2.93 M rows). People, books and
texts are made up: words are random letters.
"""

import argparse
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_USERS, _ITEMS, _METADATA = 1 / 14.6, 1 / 38.0, 1 / 9.3  # per review
_YEARS = np.arange(2008, 2019)
_YEAR_SHARES = np.array([2, 2, 3, 5, 8, 14, 17, 17, 16, 14.5, 1.5])
_CHUNK = 50_000
_GZIP_LEVEL = 4


def write_amazon(folder: Path, reviews: int, seed: int = 1) -> None:
    """Writes `Books_5.json.gz` and `meta_Books.json.gz` into `folder`.

    Args:
        folder: made if missing.
        reviews: rows of `Books_5.json.gz`; metadata rows follow in the real proportion.
        seed: same seed and size, same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    texts = _texts(rng)
    n_items = max(30, int(reviews * _ITEMS))
    with _gzip(folder / "Books_5.json.gz") as file:
        for block in _reviews(rng, reviews, n_items, texts):
            file.write(block)
    with _gzip(folder / "meta_Books.json.gz") as file:
        for block in _metadata(rng, max(n_items, int(reviews * _METADATA)), n_items, texts):
            file.write(block)


def write_ml_1m(folder: Path, ratings: int = 1_000_209, seed: int = 1) -> None:
    """Writes `ratings.dat` and `movies.dat` of ML-1M's size and shape into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    user = np.sort(rng.choice(6040, ratings, p=_skewed(rng, 6040, 1.0)) + 1)
    item = rng.choice(3706, ratings, p=_skewed(rng, 3706, 1.5)) + 1
    # Ratings come in sittings, so that about half of a user's rows share their second.
    first = rng.integers(956_703_932, 1_046_454_590, 6041)
    time = first[user] + rng.integers(0, 300, ratings) * 7
    rating = rng.integers(1, 6, ratings)
    rows = zip(user.tolist(), item.tolist(), rating.tolist(), time.tolist(), strict=True)
    with (folder / "ratings.dat").open("w", encoding="latin-1") as file:
        file.writelines(f"{u}::{i}::{r}::{t}\n" for u, i, r, t in rows)
    with (folder / "movies.dat").open("w", encoding="latin-1") as file:
        file.writelines(f"{i}::Film nº {i}, The ({1920 + i % 80})::Drama\n" for i in range(1, 3707))


def write_ml_25m(folder: Path, ratings: int = 1_000_000, seed: int = 1) -> None:
    """Writes `ratings.csv` and `movies.csv` as MovieLens has had them since 2015.

    154 ratings per user, of whom none has fewer than 20; all of ML-25M's 62,423 movies, rated as
    unevenly as there (of a million ratings the first has 1 in 300, and two thirds have none); half
    stars by what users and movies are like; quotes around titles that hold commas or quotes. Rows
    stand by user, then movie.

    Args:
        folder: made if missing.
        ratings: rows of `ratings.csv`, about: a movie that a user draws twice is one row.
        seed: same seed and size, same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    n_users, n_movies = max(10, ratings // 154), 62_423
    share = _skewed(rng, n_users, 1.1)
    activity = 20 + rng.multinomial(max(0, round(ratings * 1.2) - 20 * n_users), share)
    user = np.repeat(np.arange(n_users), activity)
    popular = 1 / (rng.permutation(n_movies) + 300.0) ** 2
    movie = rng.choice(n_movies, len(user), p=popular / popular.sum())
    user, movie = np.unique(np.stack([user, movie]), axis=1)
    tastes = rng.normal(size=(n_users, 8)), rng.normal(size=(n_movies, 8))
    likes = 3.5 + rng.normal(0, 0.4, n_users)[user] + rng.normal(0, 0.5, n_movies)[movie]
    likes += 0.25 * np.einsum("nd,nd->n", tastes[0][user], tastes[1][movie])
    half_stars = np.clip(np.rint(2 * (likes + rng.normal(0, 0.6, len(user)))), 1, 10) / 2
    first = rng.integers(789_652_009, 1_574_000_000, n_users)
    time = first[user] + rng.integers(0, 3600, len(user)) * 7
    ids = np.sort(rng.choice(209_171, n_movies, replace=False)) + 1
    rows = zip(*(part.tolist() for part in (user + 1, ids[movie], half_stars, time)), strict=True)
    with (folder / "ratings.csv").open("w", encoding="utf-8") as file:
        file.write("userId,movieId,rating,timestamp\n")
        file.writelines(f"{u},{i},{r},{t}\n" for u, i, r, t in rows)
    with (folder / "movies.csv").open("w", encoding="utf-8") as file:
        file.write("movieId,title,genres\n")
        file.writelines(f"{i},{_title(n)},Comedy|Drama\n" for n, i in enumerate(ids.tolist()))


def _title(number: int) -> str:
    """Returns a movie's title as `movies.csv` has it, two of three in quotes."""
    year = 1920 + number % 100
    named = (f"Film nº {number} ({year})", f'"Night of {number}, The ({year})"')
    return (*named, f'"""Great Scenes"" of {number} ({year})"')[number % 3]


def _gzip(path: Path) -> gzip.GzipFile:
    # Without name and time in the header, so that equal content gives equal bytes.
    return gzip.GzipFile("", "wb", _GZIP_LEVEL, path.open("wb"), mtime=0)


def _skewed(rng: np.random.Generator, n: int, sigma: float) -> NDArray[np.float64]:
    weights = rng.lognormal(0.0, sigma, n)
    return weights / weights.sum()


def _texts(rng: np.random.Generator, n: int = 20_000) -> list[str]:
    """Random texts as JSON strings: words of Zipf's frequencies, log-normal lengths."""
    letters = np.array(list("etaoinshrdlcumwfgypbvk"))
    words = ["".join(rng.choice(letters, size)) for size in rng.integers(2, 10, 4_000)]
    words[:3] = ['"quoted"', "Café", "it's\n\n"]  # what JSON has to escape
    drawn = rng.zipf(1.3, 4_000_000) % len(words)
    lengths = np.clip(rng.lognormal(3.9, 1.1, n).astype(int), 1, 3_000)
    begins = rng.integers(0, len(drawn) - 3_000, n)
    return [
        json.dumps(" ".join(words[k] for k in drawn[begin : begin + length]))
        for begin, length in zip(begins.tolist(), lengths.tolist(), strict=True)
    ]


def _reviews(rng: np.random.Generator, n: int, n_items: int, texts: list[str]) -> Iterator[bytes]:
    n_users = max(30, int(n * _USERS))
    user_share, item_share = _skewed(rng, n_users, 1.5), _skewed(rng, n_items, 1.5)
    home_year = rng.choice(_YEARS, n_users, p=_YEAR_SHARES / _YEAR_SHARES.sum())
    for begin in range(0, n, _CHUNK):
        size = min(_CHUNK, n - begin)
        user = rng.choice(n_users, size, p=user_share)
        item = rng.choice(n_items, size, p=item_share)
        stray = rng.choice(_YEARS, size, p=_YEAR_SHARES / _YEAR_SHARES.sum())
        year = np.where(rng.random(size) < 0.7, home_year[user], stray)
        day = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
        time = (day + rng.integers(0, 365, size)) * 86_400
        stars = rng.choice([1.0, 2.0, 3.0, 4.0, 5.0], size, p=[0.04, 0.04, 0.1, 0.22, 0.6])
        words = rng.integers(0, len(texts), size)
        columns = (user, item, time, stars, words)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        yield "".join(
            f'{{"overall": {r}, "verified": true, "reviewTime": "01 1, 2017", '
            f'"reviewerID": "A{u * 7919 % 10**9:09d}{u:04X}", "asin": "{i:010d}", '
            f'"style": {{"Format:": " Hardcover"}}, "reviewerName": "Reader {u}", '
            f'"reviewText": {texts[w]}, "summary": "Number {w}", "unixReviewTime": {t}}}\n'
            for u, i, t, r, w in rows
        ).encode()


def _metadata(rng: np.random.Generator, n: int, n_items: int, texts: list[str]) -> Iterator[bytes]:
    """One row per item, some repeated, some untitled or with HTML, and books nobody reviewed."""
    item = rng.permutation(np.r_[np.arange(n), rng.integers(0, n_items, n // 300)])
    kind = rng.random(len(item))
    words = rng.integers(0, len(texts), (len(item), 2))
    for begin in range(0, len(item), _CHUNK):
        lines = []
        for k in range(begin, min(begin + _CHUNK, len(item))):
            i, a, b = int(item[k]), int(words[k, 0]), int(words[k, 1])
            title = f"Book {i} &amp; other tales, Vol. {a % 9}"
            if kind[k] < 0.002:
                title = ""
            elif kind[k] < 0.006:
                title = f'<span id=\\"productTitle\\" class=\\"a-size-large\\">Book {i}</span>'
            lines.append(
                f'{{"category": ["Books", "Number {b % 50}"], "tech1": "", "description": '
                f'[{texts[a]}], "title": "{title}", "also_buy": ["{a:010d}", "{b:010d}"], '
                f'"brand": "Author {a}", "rank": "{b:,} in Books (", "asin": "{i:010d}"}}\n'
            )
        yield "".join(lines).encode()


def main() -> None:
    """Writes the files named on the command line."""
    parser = argparse.ArgumentParser(description="Writes a data set's files in any size.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reviews", type=int, default=300_000, help="Amazon-Book's")
    parser.add_argument("--ml-25m", type=int, metavar="RATINGS", help="MovieLens' instead")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.ml_25m:
        write_ml_25m(arguments.folder, arguments.ml_25m, arguments.seed)
    else:
        write_amazon(arguments.folder, arguments.reviews, arguments.seed)


if __name__ == "__main__":
    main()
