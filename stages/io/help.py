"""What `--help` says of a stage: its module's own description, and what `dvc.yaml` says of it."""

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_PIPELINE = Path(__file__).resolve().parents[2] / "dvc.yaml"


def parser_of(main: Callable[..., Any]) -> argparse.ArgumentParser:
    """Returns a parser without arguments that describes the module of a stage's entry."""
    module = main.__globals__["__spec__"]
    command = module.name.removesuffix(".__main__") if module else main.__module__
    parser = argparse.ArgumentParser(
        prog=f"python -m {command}",
        description=main.__globals__["__doc__"],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if {"-h", "--help"} & set(sys.argv[1:]):  # to run, no stage reads dvc.yaml
        parser.epilog = in_pipeline(command.rpartition(".")[2])
    return parser


def in_pipeline(stage: str, pipeline: Path = _PIPELINE) -> str | None:
    """Returns what a stage reads, writes and is shaped by, as `dvc.yaml` says; None for no stage.

    Args:
        stage: its name there, or the module that several of its entries start.
        pipeline: `dvc.yaml`.
    """
    entries = YAML(typ="safe").load(pipeline.read_text(encoding="utf-8"))["stages"].values()
    bodies = [entry.get("do", entry) for entry in entries]
    found = [body for body in bodies if body["cmd"].split()[2] == f"stages.{stage}"]
    if not found:
        return None
    reads = [path for body in found for path in body["deps"]]
    params = [key for body in found for key in body.get("params", [])]
    if any(path.startswith(f"data/plan/{stage}/${{") for path in reads) and not any(
        key.split(".")[0] == stage for key in params
    ):
        params.append(f"{stage} (as `plan` merges it with the item's own changes)")
    writes = [
        out if isinstance(out, str) else next(iter(out))
        for body in found
        for kind in ("outs", "metrics", "plots")
        for out in body.get(kind, [])
    ]
    lines = [("reads", reads), ("writes", writes), ("params", params)]
    text = "\n".join(f"{title}:\n  " + "\n  ".join(dict.fromkeys(it)) for title, it in lines if it)
    return re.sub(r"\$\{(?:key|item)\}", "<name>", text)
