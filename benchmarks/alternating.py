"""Contenders that take turns: each a process of its own, every repeat runs all of them once.

What a busy machine does to one then happens to all, and the peak memory is each one's own. A
contender loads what it needs, says that it is ready, and then answers every line on its standard
input by one run and one line of JSON. Standard library only: the outside peers, in environments of
their own, import it as well.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Answer = dict[str, Any]


def serve(run: Callable[[int], Answer]) -> None:
    """The contender's side: one run per line of standard input.

    Args:
        run: does the work of a turn, 0, 1, ...; what it returns is handed to the other side with
            `wall` and `cpu` seconds and `peak_mib` (the most memory the process held during the
            run) beside it.
    """
    _say({"ready": True})
    for turn, _ in enumerate(sys.stdin):
        _reset_peak()
        wall, cpu = time.perf_counter(), time.process_time()
        answer = run(turn)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        _say(answer | {"wall": wall, "cpu": cpu, "peak_mib": _peak_mib()})


def add_options(parser: argparse.ArgumentParser, rows: int) -> None:
    """Adds the options that every benchmark with contenders has; `rows` is the default."""
    parser.add_argument("--rows", type=int, default=rows, help=f"default {rows}")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each (default 5)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="cpu: processor seconds, for a crowded machine and --threads 1 (default wall)",
    )
    parser.add_argument("--project", type=Path, default=Path(), help="where data/ and models/ lie")
    parser.add_argument("--rows-file", type=Path, help=argparse.SUPPRESS)


class Contender:
    """A process that runs when told to."""

    def __init__(self, name: str, command: Sequence[str], threads: int) -> None:
        """Starts the process and waits until it is ready.

        Raises:
            SystemExit: it ended before; its own message stands above.
        """
        self.name = name
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )
        self._read()

    def run(self) -> Answer:
        """Runs once."""
        assert self._process.stdin is not None  # opened above
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """Ends the process."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait()

    def _read(self) -> Answer:
        assert self._process.stdout is not None  # opened above
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
            sys.stderr.write(line)  # a library's own words
        raise SystemExit(f"error: {self.name}: ended with status {self._process.wait()}")


def alternate(
    commands: Mapping[str, Sequence[str]],
    *,
    repeats: int,
    threads: int,
    after_run: Callable[[str, Answer], None],
) -> dict[str, list[Answer]]:
    """Starts all contenders, then lets them take turns.

    Args:
        commands: name -> command line.
        repeats: runs of each.
        threads: of each; only one runs at a time.
        after_run: told of each run.

    Returns:
        Each contender's answers, one per repeat.
    """
    contenders: list[Contender] = []
    answers: dict[str, list[Answer]] = {name: [] for name in commands}
    try:
        for name, command in commands.items():
            sys.stderr.write(f"starting {name}\n")
            contenders.append(Contender(name, command, threads))
        for _ in range(repeats):
            for contender in contenders:
                answers[contender.name].append(contender.run())
                after_run(contender.name, answers[contender.name][-1])
    finally:
        for contender in contenders:
            contender.close()
    return answers


def in_turn(ways: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Runs functions of this process in turn, for what takes milliseconds and little memory.

    Returns:
        Each one's median seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def median(answers: Sequence[Answer], key: str) -> float:
    """Returns the median of a value over the repeats."""
    return statistics.median(answer[key] for answer in answers)


def _say(answer: Answer) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _reset_peak() -> None:
    """Sets the process's high-water mark to what it holds now (Linux, man 5 proc)."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")


def _peak_mib() -> float:
    """The high-water mark since the last reset; where there is no /proc, since the start."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
