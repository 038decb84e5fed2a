"""Training watched while it runs: loss and AUC go to TensorBoard, DVCLive or W&B, if asked for.

`live` in `params.yaml` says which. It is no DVC parameter of any stage: it changes no result, so it
may not make one run again. The libraries are the user's to install, and imported only here.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.io.errors import InputError
from stages.io.outputs import SCRATCH
from stages.io.params import load_shared

# Takes the training rows seen, and numbers by name.
Watch = Callable[[float, Mapping[str, float]], None]

LIVE = SCRATCH / "live"


def nobody(rows: float, values: Mapping[str, float]) -> None:
    """Watches nothing."""


def watch(title: str, kind: str | None, folder: Path = LIVE) -> Watch:
    """Opens what training is to be watched with; each run has a folder, or a W&B run, of its own.

    Args:
        title: what is trained.
        kind: `tensorboard`, `dvclive` or `wandb`; None for nothing.
        folder: below which the files go.

    Raises:
        InputError: the library is not there.
    """
    if kind is None:
        return nobody
    name = title.replace(" ", "-")
    return _OPENED[kind](name, folder / kind / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}")


def asked_watch(title: str) -> Watch:
    """Opens what `live` in `params.yaml` asks for."""
    return watch(title, load_shared("live"))


def _tensorboard(name: str, folder: Path) -> Watch:
    with _installed("tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    writer: Any = SummaryWriter(str(folder))

    def log(rows: float, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            writer.add_scalar(key, value, int(rows))
        writer.flush()

    return log


def _dvclive(name: str, folder: Path) -> Watch:
    with _installed("dvclive"):
        from dvclive import Live
    # By itself it would write `dvc.yaml` anew, and make an experiment of its own.
    settings: dict[str, Any] = {"dvcyaml": None, "save_dvc_exp": False, "report": None}
    logger = Live(str(folder), **settings)

    def log(rows: float, values: Mapping[str, float]) -> None:
        logger.step = int(rows)
        for key, value in values.items():
            logger.log_metric(key, value)
        logger.make_summary()

    return log


def _wandb(name: str, folder: Path) -> Watch:
    with _installed("wandb"):
        import wandb
    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(project="binllm", name=name, dir=str(folder), reinit="finish_previous")

    def log(rows: float, values: Mapping[str, float]) -> None:
        run.log(dict(values), step=int(rows))

    return log


_OPENED = {"tensorboard": _tensorboard, "dvclive": _dvclive, "wandb": _wandb}


@contextmanager
def _installed(package: str) -> Iterator[None]:
    """Says what to do where an import of the package fails."""
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"params.yaml: live = {package!r}: {error}; `pip install {package}` into this "
            "environment, or set it to null"
        ) from None
