"""The engines that turn raw files into a built data set: one process, or Spark."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stages.common.errors import InputError
from stages.preprocess.build import Built, build
from stages.preprocess.protocol import Protocol
from stages.preprocess.readers import read

# data set, folder of raw files, names in own tables, protocol, longest history
# -> the data set, what reading counted, raw rows
Engine = Callable[
    [str, Path, Mapping[str, Any], Protocol, int | None], tuple[Built, dict[str, int], int]
]


def in_one_process(
    dataset: str, folder: Path, names: Mapping[str, Any], rules: Protocol, keep_history: int | None
) -> tuple[Built, dict[str, int], int]:
    """Reads and builds in arrays, within this process."""
    raw = read(dataset, folder, names, rules.year)
    return build(raw, rules, keep_history), dict(raw.counts), raw.interactions.num_rows


def on_spark(
    dataset: str, folder: Path, names: Mapping[str, Any], rules: Protocol, keep_history: int | None
) -> tuple[Built, dict[str, int], int]:
    """The same on Spark, which is imported only here.

    Raises:
        InputError: PySpark or Java is missing.
    """
    try:
        from stages.preprocess.spark_engine import run
    except ModuleNotFoundError as error:
        raise InputError(
            f"preprocess.engine = 'spark': needs PySpark (no module {error.name!r}); "
            "install requirements-spark.txt, or choose pandas"
        ) from None
    return run(dataset, folder, names, rules, keep_history)


ENGINES: dict[str, Engine] = {"pandas": in_one_process, "spark": on_spark}
