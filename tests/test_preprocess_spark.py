"""The Spark engine gives the rows of the default one. Skipped without PySpark or Java."""

import dataclasses
import gzip
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from own_table import NAMES, PREPROCESS

from benchmarks.preprocess_generate import write_amazon
from stages import datasets
from stages.datasets.amazon_book import METADATA, REVIEWS
from stages.datasets.building import engines
from stages.datasets.building.build import Built
from stages.datasets.building.dataset import protocol
from stages.datasets.building.protocol import (
    Fractions,
    HalvedDecember,
    LeaveLastOut,
    Months,
    PerUser,
    Protocol,
    Split,
)
from stages.io.errors import InputError

ROOT = Path(__file__).parents[1]
ML_100K = ROOT / "data/raw"

needs_spark = pytest.mark.skipif(
    shutil.which("java") is None, reason="java is missing (preprocess.engine: spark)"
)


@pytest.fixture
def spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark", reason="pyspark is missing (requirements-spark.txt)")
    from stages.datasets.building import spark_engine

    monkeypatch.setitem(spark_engine._THIS_MACHINE, "spark.master", "local[2]")
    monkeypatch.chdir(tmp_path)


def assert_equal(
    first: tuple[Built, dict[str, int], int], second: tuple[Built, dict[str, int], int]
) -> None:
    for field in dataclasses.fields(Built):
        one, two = getattr(first[0], field.name), getattr(second[0], field.name)
        if field.name == "interactions":  # histories may be views, or lists
            one, two = one.to_pylist(), two.to_pylist()
        same = np.array_equal(one, two) if field.name == "split" else one == two
        assert same, field.name
    assert first[1:] == second[1:]


@needs_spark
@pytest.mark.slow
@pytest.mark.skipif(not (ML_100K / "ml-100k.inter").exists(), reason=f"{ML_100K} is missing")
def test_spark_gives_ml_100k_row_for_row(spark: None) -> None:
    dataset = datasets.load("ml-100k")
    rules = protocol(dataset, PREPROCESS)
    assert_equal(*(run(dataset, ML_100K, NAMES, rules, 25) for run in engines.ENGINES.values()))


@needs_spark
@pytest.mark.slow
def test_spark_gives_a_generated_amazon_row_for_row_broken_lines_and_all(
    spark: None, tmp_path: Path
) -> None:
    write_amazon(tmp_path / "raw", 20_000, seed=4)
    lines = gzip.decompress((tmp_path / "raw" / REVIEWS).read_bytes()).split(b"\n")
    lines[50] = lines[50][:60]
    lines[700] = b""
    lines[900] = lines[900].replace(b'"overall": ', b'"overall": "x')
    lines[1000:1100] = [
        line.replace(b'"overall": 5.0', b'"overall": "5.0"') for line in lines[1000:1100]
    ]
    (tmp_path / "raw" / REVIEWS).write_bytes(gzip.compress(b"\n".join(lines)))
    rules = Protocol(5, HalvedDecember(2017), year=2017, more_than=3)
    dataset = datasets.load("amazon-book")
    both = [run(dataset, tmp_path / "raw", NAMES, rules, 10) for run in engines.ENGINES.values()]
    assert both[0][0].interactions.num_rows > 100
    assert both[0][1]["review_lines_broken"] == 3 and both[0][1]["ratings_as_text"] > 10
    assert_equal(*both)


@needs_spark
@pytest.mark.slow
@pytest.mark.parametrize(
    "split",
    [PerUser(0.2, 0.1), LeaveLastOut(), Fractions(0.2, 0.1), Months((0, 2, 3, 5))],
    ids=repr,
)
def test_spark_gives_every_split_row_for_row(spark: None, tmp_path: Path, split: Split) -> None:
    rng = np.random.default_rng(5)
    rows = zip(*(rng.integers(1, high, 300).tolist() for high in (12, 40, 6, 170)), strict=True)
    text = "".join(f"u{u},{i},{r},{1_600_000_000 + t * 86_400}\n" for u, i, r, t in rows)
    titles = "".join(f"{i},Title {i}\n" for i in range(1, 36))
    (tmp_path / "t.csv").write_text("item,title\n" + titles, encoding="utf-8")
    text = f"u1,1,5,1600000000\n{text}u1,1,5,1600000000\n"
    (tmp_path / "i.csv").write_text("user,item,rating,timestamp\n" + text, encoding="utf-8")
    first = isinstance(split, Fractions)
    rules = Protocol(4, split, more_than=5, repeats="first" if first else "last")
    dataset = datasets.load("table")
    both = [run(dataset, tmp_path, NAMES, rules, None) for run in engines.ENGINES.values()]
    assert both[0][0].dropped["without_title"] and both[0][0].dropped["few_ratings"]
    assert both[0][0].dropped["repeats"] and both[0][0].dropped["exact_repeats"]
    assert both[0][0].untitled
    assert_equal(*both)


@needs_spark
@pytest.mark.slow
def test_spark_refuses_a_cut_file_in_one_line(spark: None, tmp_path: Path) -> None:
    write_amazon(tmp_path / "raw", 5_000, seed=4)
    path = tmp_path / "raw" / METADATA
    path.write_bytes(path.read_bytes()[:-100])
    rules = Protocol(5, HalvedDecember(2017), year=2017)
    dataset = datasets.load("amazon-book")
    with pytest.raises(InputError, match="cut off or no gzip file") as error:
        engines.on_spark(dataset, tmp_path / "raw", NAMES, rules, 10)
    assert METADATA in str(error.value) and "\n" not in str(error.value)


@pytest.mark.skipif(find_spec("pyspark") is not None, reason="pyspark is installed")
def test_without_pyspark_the_engine_ends_in_one_line() -> None:
    dataset, rules = datasets.load("ml-100k"), Protocol(4, PerUser(0.1, 0.1))
    with pytest.raises(InputError, match=r"needs PySpark.*install requirements-spark\.txt"):
        engines.on_spark(dataset, Path("data/raw"), NAMES, rules, 25)
