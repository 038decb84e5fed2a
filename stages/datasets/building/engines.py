"""The engines that turn raw files into a built data set: one process, or Spark."""

from collections.abc import Callable
from pathlib import Path

from stages.datasets.building.build import Built, build
from stages.datasets.building.dataset import Dataset
from stages.datasets.building.params import Table
from stages.datasets.building.protocol import Protocol
from stages.io.errors import InputError

# data set, folder of raw files, names in own tables, protocol, longest history
# -> the data set, what reading counted, raw rows
Engine = Callable[[Dataset, Path, Table, Protocol, int | None], tuple[Built, dict[str, int], int]]


def in_one_process(
    dataset: Dataset, folder: Path, names: Table, rules: Protocol, keep_history: int | None
) -> tuple[Built, dict[str, int], int]:
    """Reads and builds in arrays, within this process."""
    raw = dataset.read(folder, names)
    return build(raw, rules, keep_history), dict(raw.counts), raw.interactions.num_rows


def on_spark(
    dataset: Dataset, folder: Path, names: Table, rules: Protocol, keep_history: int | None
) -> tuple[Built, dict[str, int], int]:
    """The same on Spark, which is imported only here.

    Raises:
        InputError: PySpark or Java is missing.
    """
    try:
        from stages.datasets.building.spark_engine import run
    except ModuleNotFoundError as error:
        raise InputError(
            f"preprocess.engine = 'spark': needs PySpark (no module {error.name!r}); "
            "install requirements-spark.txt, or choose pandas"
        ) from None
    return run(dataset, folder, names, rules, keep_history)


ENGINES: dict[str, Engine] = {"pandas": in_one_process, "spark": on_spark}
