"""Times the stage `preprocess` on generated Amazon-Book files, beside gunzip alone.

python -m benchmarks.preprocess_amazon [--sizes 300000 1000000 3000000] [--engine pandas]

Each size: the real stage in a process of its own (start, reading, building, checking, writing),
and `gunzip -c` of the same two files with every byte read once. Peak memory is the process's own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from benchmarks.preprocess_generate import write_amazon
from stages.datasets.amazon_book import METADATA, REVIEWS

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cost:
    """What one process took: wall and processor seconds, peak memory in MB."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def main() -> None:
    """Prints one line per size."""
    parser = argparse.ArgumentParser(description="Times preprocess on Amazon-Book files.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[300_000, 1_000_000, 3_000_000])
    parser.add_argument("--engine", choices=["pandas", "spark"], default="pandas")
    parser.add_argument("--python", default=sys.executable, help="runs the stage; has its needs")
    parser.add_argument("--folder", type=Path, help="keeps generated files for another run")
    parser.add_argument("--repeat", type=int, default=1, help="the files joined so many times")
    arguments = parser.parse_args()
    print(f"engine {arguments.engine}, {os.cpu_count()} cores")
    print("  reviews  inflated MB  gunzip s  stage s  ratio  stage CPU s  reviews/s  peak MB")
    with tempfile.TemporaryDirectory() as scratch:
        for size in arguments.sizes:
            raw = (arguments.folder or Path(scratch)) / f"amazon-{size}"
            if not (raw / METADATA).exists():
                write_amazon(raw, size)
            if arguments.repeat > 1:
                raw = _repeated(raw, arguments.repeat)
            bytes_read, gunzip = inflate(raw)
            stage = run_stage(raw, arguments.engine, arguments.python)
            n = size * arguments.repeat
            print(
                f"{n:>9,}  {bytes_read / 1e6:>11,.0f}  {gunzip:>8.1f}  {stage.seconds:>7.1f}"
                f"  {stage.seconds / gunzip:>5.2f}  {stage.cpu_seconds:>11.1f}"
                f"  {n / stage.seconds:>9,.0f}  {stage.peak_mb:>7,.0f}",
                flush=True,
            )


def _repeated(raw: Path, times: int) -> Path:
    """Joins a gzip file with itself, which is a gzip file again: full size without waiting."""
    joined = raw.with_name(f"{raw.name}-x{times}")
    joined.mkdir(exist_ok=True)
    for name in (REVIEWS, METADATA):
        with (joined / name).open("wb") as file:
            for _ in range(times):
                file.write((raw / name).read_bytes())
    return joined


def inflate(raw: Path) -> tuple[int, float]:
    """Returns how many bytes gunzip gives for both files, and its seconds."""
    begin, n = time.perf_counter(), 0
    for name in (REVIEWS, METADATA):
        with subprocess.Popen(["gunzip", "-c", str(raw / name)], stdout=subprocess.PIPE) as process:
            assert process.stdout
            while piece := process.stdout.read(1 << 20):
                n += len(piece)
    return n, time.perf_counter() - begin


def run_stage(raw: Path, engine: str, python: str) -> Cost:
    """Runs the stage on `raw` in a temporary folder."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "data").mkdir()
        (folder / "data/raw").symlink_to(raw.resolve())
        yaml = YAML()
        params = yaml.load(ROOT / "params.yaml")
        params["dataset"], params["preprocess"]["engine"] = "amazon-book", engine
        yaml.dump(params, folder / "params.yaml")
        begin = time.perf_counter()
        process = subprocess.Popen(
            [python, "-m", "stages.preprocess"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
        )
        assert process.stderr
        messages = process.stderr.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"the stage failed: {messages}")
        return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
