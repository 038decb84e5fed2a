"""The protocol on Spark: the same definition (`protocol.py`), the same rows as `build.py`.

Raw lines go through the very parser of the other engine, on Spark's workers. What is sorted,
counted and joined may spill to disk; the finished data set comes back as arrays, since checks and
later stages hold it in memory anyway.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import singledispatch
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from stages.datasets.building.build import UNTITLED, WARM_ABOVE, Built, nothing_left
from stages.datasets.building.dataset import Dataset, JsonLines
from stages.datasets.building.json_lines import Counts, Kind, LineParser
from stages.datasets.building.params import Table
from stages.datasets.building.protocol import (
    DROPPED,
    Fractions,
    HalvedDecember,
    LeaveLastOut,
    Months,
    PerUser,
    Protocol,
    Repeats,
    Split,
    whole,
)
from stages.datasets.building.raw import RESERVED, Raw
from stages.io.errors import InputError
from stages.io.outputs import SCRATCH, passing
from stages.io.tables import INTERACTIONS, ITEMS, USERS

_THIS_MACHINE = {
    "spark.master": "local[*]",
    "spark.driver.host": "localhost",
    "spark.driver.memory": "2g",
    "spark.executorEnv.PYTHONPATH": str(Path(__file__).resolve().parents[3]),
    "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 2)),
    "spark.ui.enabled": "false",
}


def run(
    dataset: Dataset, folder: Path, names: Table, rules: Protocol, keep_history: int | None
) -> tuple[Built, dict[str, int], int]:
    """Reads and builds a data set on Spark.

    Args:
        dataset: the data set.
        folder: the raw files.
        names: files and columns of the user's own tables.
        rules: the protocol.
        keep_history: longest history; None keeps all.

    Returns:
        The data set, what reading counted, and the number of raw rows.

    Raises:
        InputError: Java is missing, a raw file is bad, no row remains, or negatives are wanted.
    """
    if rules.negatives is not None:
        raise InputError("preprocess.engine = 'spark': draws no negatives; choose pandas")
    with passing((SCRATCH / "spark").resolve()) as scratch:
        spark = _session()
        try:
            if dataset.json_lines:
                counts = _parse_files(spark, folder, dataset.json_lines, rules.year, scratch)
            else:
                counts = _hand_over(dataset.read(folder, names), scratch)
            built, n_raw = _build(spark, rules, keep_history, scratch)
        finally:
            spark.stop()
    return built, counts, n_raw


def _session() -> SparkSession:
    """Starts Spark: on all cores of this machine, unless `spark-submit` says otherwise."""
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise InputError("preprocess.engine = 'spark': needs Java 17 or later; or choose pandas")
    # Workers are processes of their own: they need this interpreter and this project.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("preprocess")
    builder = builder.config("spark.sql.session.timeZone", "UTC")
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # set by spark-submit, which knows the rest
        for key, value in _THIS_MACHINE.items():
            builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def _hand_over(raw: Raw, scratch: Path) -> dict[str, int]:
    """Leaves a data set that one process can hold where Spark finds it."""
    place = pa.array(np.arange(raw.interactions.num_rows))
    pq.write_table(raw.interactions.append_column("place", place), scratch / "interactions")
    pq.write_table(raw.titles, scratch / "titles")
    return dict(raw.counts)


def _parse_files(
    spark: SparkSession, folder: Path, files: JsonLines, year: int | None, scratch: Path
) -> dict[str, int]:
    """Parses both files on the workers, to `interactions` and `titles` in `scratch`."""
    path = folder / files.reviews
    found = _parse(spark, path, files.review_fields, frozenset(), scratch / "reviews")
    reviews = spark.read.parquet(str(scratch / "reviews")).filter("counts is null")
    user, item, rating, time = files.review_fields
    seconds = F.floor(F.col(time) / files.times_per_second)
    rows = reviews.select(
        F.col(user).alias("user"),
        F.col(item).alias("item"),
        F.col(rating).alias("rating"),
        seconds.alias("timestamp"),
        "place",
    )
    if year is not None:
        rows = rows.filter(F.year(F.timestamp_seconds("timestamp")) == year)
    rows.write.parquet(str(scratch / "interactions"))
    kept = spark.read.parquet(str(scratch / "interactions"))
    n_kept = kept.count()
    if not n_kept:
        raise InputError(f"{path}: none of {found.lines} lines is of {year}")
    counts = {
        "review_lines": found.lines,
        "review_lines_broken": found.broken,
        "review_lines_unusable": found.unusable,
        "ratings_as_text": found.as_text[rating],
        "times_as_text": found.as_text[time],
        "times_with_fractions": reviews.filter(F.floor(time) != F.col(time)).count(),
        "outside_year": reviews.count() - n_kept,
    }
    return {**counts, **_read_titles(spark, folder, files, kept.select("item"), scratch)}


def _read_titles(
    spark: SparkSession, folder: Path, files: JsonLines, wanted: DataFrame, scratch: Path
) -> dict[str, int]:
    path = folder / files.metadata
    item, title = files.metadata_fields
    found = _parse(spark, path, files.metadata_fields, frozenset({title}), scratch / "metadata")
    items = wanted.distinct()
    rows = spark.read.parquet(str(scratch / "metadata")).filter("counts is null")
    rows = rows.select(F.col(item).alias("item"), F.col(title).alias("title"), "place")
    rows = rows.join(items, "item", "left_semi")
    last = rows.groupBy("item").agg(F.max(F.struct("place", "title")).alias("last"))
    last = last.select("item", F.col("last.title").alias("title"))
    n_reserved = last.filter(F.col("title").rlike(RESERVED)).count()
    cleaned = last.mapInArrow(_title_cleaner(files), "item string, title string, n_html long")
    cleaned.write.parquet(str(scratch / "cleaned"))
    cleaned = spark.read.parquet(str(scratch / "cleaned"))
    titled = cleaned.filter("title != ''").select("item", "title")
    titled.write.parquet(str(scratch / "titles"))
    n_items = items.count()
    return {
        "metadata_lines": found.lines,
        "metadata_lines_broken": found.broken,
        "metadata_lines_unusable": found.unusable,
        "items": n_items,
        "items_with_several_rows": rows.count() - cleaned.count(),
        "items_without_title": n_items - titled.count(),
        "titles_with_html": cleaned.agg(F.sum("n_html")).first()[0] or 0,  # type: ignore[index]
        "titles_with_reserved_characters": n_reserved,
    }


def _parse(
    spark: SparkSession,
    path: Path,
    fields: Mapping[str, Kind],
    optional: frozenset[str],
    target: Path,
) -> Counts:
    """Parses a gzip file of JSON lines to Parquet: its usable rows in order, and its counts.

    A gzip file cannot be split: one worker parses it from its first line to its last.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; is it the right data set?")
    lines = spark.read.text(str(path.resolve()), lineSep="\n")
    kinds = {"text": "string", "number": "double"}
    columns = ", ".join(f"{name} {kinds[kind]}" for name, kind in fields.items())
    parsed = lines.select(F.col("value").cast("binary")).mapInArrow(
        _line_parser(str(path), dict(fields), optional), f"{columns}, place long, counts string"
    )
    try:
        parsed.write.parquet(str(target))
    except (Py4JJavaError, PySparkException) as error:
        causes = [line for line in str(error).splitlines() if "Exception" in line]
        reason = causes[-1].strip() if causes else type(error).__name__
        raise InputError(f"{path}: cut off or no gzip file: {reason}") from None
    ends = spark.read.parquet(str(target)).filter("counts is not null").select("counts").collect()
    if not ends:
        raise InputError(f"{path}: holds no line")
    counts = Counts(**json.loads(ends[0][0]))
    counts.refuse_too_many(path)
    return counts


def _line_parser(
    path: str, fields: dict[str, Kind], optional: frozenset[str]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Returns what a worker does with a file's lines: rows, then one row that holds the counts."""

    def parse(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        counts = Counts()
        parser = LineParser(Path(path), fields, optional, counts)
        place = 0
        for batch in batches:
            block = b"".join(line + b"\n" for line in batch.column(0).to_pylist())
            table = parser.parse(block)
            n = table.num_rows
            table = table.append_column("place", pa.array(np.arange(place, place + n)))
            place += n
            yield from table.append_column("counts", pa.nulls(n, pa.string())).to_batches()
        if counts.lines:
            nothing = [
                pa.nulls(1, pa.string() if kind == "text" else pa.float64())
                for kind in fields.values()
            ]
            last = [pa.array([place]), pa.array([json.dumps(asdict(counts))])]
            yield pa.RecordBatch.from_arrays([*nothing, *last], [*fields, "place", "counts"])

    return parse


def _title_cleaner(
    files: JsonLines,
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Returns what cleans titles on a worker; a batch's first row carries how many held HTML."""

    def clean(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            titles, n_html = files.clean_titles(pa.chunked_array([batch.column("title")]))
            numbers = np.zeros(batch.num_rows, dtype=np.int64)
            numbers[:1] = n_html
            columns = [batch.column("item"), titles, pa.array(numbers)]
            yield pa.RecordBatch.from_arrays(columns, ["item", "title", "n_html"])

    return clean


def _build(
    spark: SparkSession, rules: Protocol, keep_history: int | None, scratch: Path
) -> tuple[Built, int]:
    """As `build.build`, from `interactions` and `titles` in `scratch`."""
    table = spark.read.parquet(str(scratch / "interactions"))
    titles = spark.read.parquet(str(scratch / "titles"))
    found = [F.count("*"), F.min("timestamp"), F.min("rating"), F.max("rating")]
    n_raw, first, low, high = table.agg(*found).first()  # type: ignore[misc]
    if not n_raw:
        raise InputError("data/raw: the interactions are empty")
    dropped: dict[str, int] = {}
    once = _without_repeats(table, rules.repeats, scratch, dropped)
    titled = once.join(titles, "item", "left_semi")
    kept = titled
    for key in ("user", "item") if rules.more_than is not None else ():
        enough = titled.groupBy(key).count().filter(F.col("count") > rules.more_than).select(key)
        kept = kept.join(enough, key, "left_semi")
    n_titled, n_kept = titled.count(), kept.count()
    dropped |= {
        "without_title": n_raw - sum(dropped.values()) - n_titled,
        "few_ratings": n_titled - n_kept,
    }
    if n_kept:
        _assign(rules.split, kept, first).write.parquet(str(scratch / "split"))
        rows = spark.read.parquet(str(scratch / "split")).filter(f"split != {DROPPED}")
        n_rows = rows.count()
        dropped["outside_split"] = n_kept - n_rows
    if not n_kept or not n_rows:
        raise InputError(nothing_left(n_raw, dropped))
    _number(rows, rules.positive_from).write.parquet(str(scratch / "numbered"))
    numbered = spark.read.parquet(str(scratch / "numbered"))
    users, items = _ids(numbered, "user"), _ids(numbered, "item")
    finished = _finish(numbered, users, items, keep_history)
    titled_items = items.join(titles, "item")
    finished.write.parquet(str(scratch / "finished"))
    users.write.parquet(str(scratch / "users"))
    titled_items.write.parquet(str(scratch / "items"))
    untitled = table.join(titles, "item", "left_anti").select("item").distinct().orderBy("item")
    first_untitled = tuple(str(row[0]) for row in untitled.limit(UNTITLED).collect())
    return _collect(scratch, dropped, (low, high), first_untitled), n_raw


def _without_repeats(
    table: DataFrame, repeats: Repeats, scratch: Path, dropped: dict[str, int]
) -> DataFrame:
    """As `repeated.without_repeats`; counts what it leaves out in `dropped`."""
    n = table.count()
    of_moment = Window.partitionBy("user", "item", "timestamp", "rating").orderBy("place")
    rows = table.withColumn("nth", F.row_number().over(of_moment)).filter("nth = 1").drop("nth")
    rows.write.parquet(str(scratch / "distinct"))
    rows = table.sparkSession.read.parquet(str(scratch / "distinct"))
    n_distinct = rows.count()
    dropped["exact_repeats"] = n - n_distinct
    if repeats != "keep":
        keys = [F.col("timestamp"), F.col("place")]
        ordered = keys if repeats == "first" else [key.desc() for key in keys]
        of_pair = Window.partitionBy("user", "item").orderBy(*ordered)
        rows = rows.withColumn("nth", F.row_number().over(of_pair)).filter("nth = 1").drop("nth")
    dropped["repeats"] = n_distinct - rows.count()
    return rows


def _number(rows: DataFrame, positive_from: float) -> DataFrame:
    """Adds the row's number in protocol order and its label."""
    counts = rows.groupBy("user").agg(F.count("*").alias("n"))
    before = Window.orderBy("user").rowsBetween(Window.unboundedPreceding, -1)
    counts = counts.select("user", F.coalesce(F.sum("n").over(before), F.lit(0)).alias("offset"))
    within = Window.partitionBy("user").orderBy("timestamp", "place")
    return rows.join(counts, "user").select(
        "user",
        "item",
        "timestamp",
        "split",
        (F.col("offset") + F.row_number().over(within) - 1).alias("row"),
        (F.col("rating") >= positive_from).cast("byte").alias("label"),
    )


def _ids(rows: DataFrame, key: str) -> DataFrame:
    """Numbers users or items from 1 by their first row; counts their train rows."""
    found = rows.groupBy(key).agg(
        F.min("row").alias("first"), F.sum((F.col("split") == 0).cast("int")).alias("n_train")
    )
    number = F.row_number().over(Window.orderBy("first"))
    return found.select(
        key,
        number.cast("int").alias(f"{key[0]}id"),
        F.col(key).cast("string").alias("source_id"),
        F.col("n_train").cast("int").alias("n_train"),
    )


def _finish(
    rows: DataFrame, users: DataFrame, items: DataFrame, keep_history: int | None
) -> DataFrame:
    """Adds ids, histories and flags: each user's likes are listed once, then cut per row."""
    rows = rows.join(users.select("user", "uid", F.col("n_train").alias("n_user")), "user")
    rows = rows.join(items.select("item", "iid", F.col("n_train").alias("n_item")), "item")
    likes = rows.filter("label = 1").groupBy("uid")
    liked = likes.agg(F.sort_array(F.collect_list(F.struct("row", "iid"))).alias("liked"))
    earlier = Window.partitionBy("uid").orderBy("row").rowsBetween(Window.unboundedPreceding, -1)
    end = F.coalesce(F.sum(F.col("label").cast("int")).over(earlier), F.lit(0)).cast("int")
    rows = rows.withColumn("end", end).join(liked, "uid", "left")
    length = F.col("end") if keep_history is None else F.least("end", F.lit(keep_history))
    history: Column = F.slice("liked.iid", F.col("end") - length + 1, length)
    least = F.least("n_user", "n_item")
    return rows.select(
        *("row", "uid", "iid", "label", "timestamp", "split"),
        F.coalesce(history, F.array().cast("array<int>")).alias("history"),
        (least >= 1).alias("seen"),
        (least > WARM_ABOVE).alias("warm"),
    )


def _collect(
    scratch: Path,
    dropped: dict[str, int],
    ratings: tuple[float, float],
    untitled: tuple[str, ...],
) -> Built:
    """Reads what Spark wrote, in order."""
    table = pq.read_table(scratch / "finished").sort_by("row")
    users = pq.read_table(scratch / "users", columns=USERS.names).sort_by("uid")
    items = pq.read_table(scratch / "items", columns=ITEMS.names).sort_by("iid")
    return Built(
        table.select(INTERACTIONS.names).cast(INTERACTIONS),
        pc.cast(table["split"], pa.int8()).to_numpy(),
        users.cast(USERS),
        items.cast(ITEMS),
        dropped,
        ratings,
        untitled,
    )


@singledispatch
def _assign(split: Split, rows: DataFrame, first: int) -> DataFrame:
    """Adds the column `split`, as `split.assign` does."""
    raise TypeError(f"no split on Spark: {split}")


@_assign.register
def _(split: PerUser, rows: DataFrame, first: int) -> DataFrame:
    user = Window.partitionBy("user")
    n = F.count("*").over(user)
    left = n - F.row_number().over(user.orderBy("timestamp", "place")) + 1
    n_test, n_valid = (F.floor(n * share + 1e-9) for share in (split.test, split.valid))
    number = F.when(left <= n_test, 2).when(left <= n_test + n_valid, 1).otherwise(0)
    return rows.withColumn("split", number)


@_assign.register
def _(split: LeaveLastOut, rows: DataFrame, first: int) -> DataFrame:
    user = Window.partitionBy("user")
    n = F.count("*").over(user)
    left = n - F.row_number().over(user.orderBy("timestamp", "place")) + 1
    number = F.when((n >= 3) & (left <= 2), 3 - left).otherwise(0)
    return rows.withColumn("split", number)


@_assign.register
def _(split: Fractions, rows: DataFrame, first: int) -> DataFrame:
    n = rows.count()
    n_test, n_valid = int(whole(n, split.test)), int(whole(n, split.valid))
    at = F.col("at")
    number = F.when(at >= n - n_test, 2).when(at >= n - n_test - n_valid, 1).otherwise(0)
    return _by_time(rows).withColumn("split", number).drop("at")


@_assign.register
def _(split: Months, rows: DataFrame, first: int) -> DataFrame:
    month = _month(F.col("timestamp")) - _month(F.lit(first))
    begin, valid, test, end = split.edges
    number = (
        F.when((month < begin) | (month >= end), DROPPED)
        .when(month >= test, 2)
        .when(month >= valid, 1)
        .otherwise(0)
    )
    return rows.withColumn("split", number)


@_assign.register
def _(split: HalvedDecember, rows: DataFrame, first: int) -> DataFrame:
    month = _month(F.col("timestamp")) - split.year * 12
    december = rows.filter(month == 12)
    half = december.count() // 2
    halves = _by_time(december).withColumn("split", F.when(F.col("at") < half, 1).otherwise(2))
    others = rows.filter(month != 12)
    inside = (month >= 1) & (month < 12)
    others = others.withColumn("split", F.when(inside, 0).otherwise(DROPPED))
    return others.unionByName(halves.drop("at"))


def _month(seconds: Column) -> Column:
    moment = F.timestamp_seconds(seconds)
    return F.year(moment) * 12 + F.month(moment)


def _by_time(rows: DataFrame) -> DataFrame:
    """Adds the column `at`: the row's place in order of time, ties in protocol order."""
    counts = rows.groupBy("timestamp").agg(F.count("*").alias("n"))
    before = Window.orderBy("timestamp").rowsBetween(Window.unboundedPreceding, -1)
    earlier = F.coalesce(F.sum("n").over(before), F.lit(0))
    counts = counts.select("timestamp", earlier.alias("earlier"))
    tied = Window.partitionBy("timestamp").orderBy("user", "place")
    at = F.col("earlier") + F.row_number().over(tied) - 1
    return rows.join(counts, "timestamp").withColumn("at", at).drop("earlier")
