"""Starts a stage once, or as several processes that share its rows.

Their number is `processes` in `params.yaml`, and `split_weights` says whether each keeps the whole
LLM. Neither is a DVC parameter of any stage: they change no result, so they may not make one run
again. `torchrun -m stages.<stage>` does the same.
"""

import logging
import os
import sys
import time
from collections.abc import Callable

import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from stages.io.command import arguments, run_alone
from stages.io.errors import InputError, run_stage
from stages.io.params import load_shared
from stages.io.parent import end_with_dvc
from stages.llm.processes import SPLIT_WEIGHTS

_SECONDS_FOR_THE_FIRST = 30.0


def start_in_processes(main: Callable[..., None], module: str, *names: str) -> None:
    """Runs a stage's entry as `stages.io.command.start` does, in as many processes as asked for.

    Args:
        main: the stage's entry.
        module: its module's name, to start it again by.
        names: what its arguments are called, in order.
    """
    words = arguments(main, names)
    stage = ".".join([module, *words])
    if "WORLD_SIZE" in os.environ:
        run_stage(lambda: _as_one_of_several(lambda: main(*words), stage))
    else:
        run_stage(lambda: _start(lambda: main(*words), module, stage))


def _as_one_of_several(main: Callable[[], None], stage: str) -> None:
    rank = os.environ["RANK"]
    try:
        run_alone(main, stage if rank == "0" else f"{stage}.{rank}")
    except InputError:
        if rank != "0":
            # The first found the same, says it, and then the launcher ends this one. Ending sooner
            # would have the launcher end the first before it has spoken.
            time.sleep(_SECONDS_FOR_THE_FIRST)
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _start(main: Callable[[], None], module: str, stage: str) -> None:
    count, split = load_shared("processes"), load_shared("split_weights")
    if count == 1:
        run_alone(main, stage)
        return
    end_with_dvc()
    os.environ[SPLIT_WEIGHTS] = str(split).lower()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        run_id=module,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module, *sys.argv[1:])
    except SignalException:  # Ctrl-C, as the launcher tells it
        raise KeyboardInterrupt from None
    except ChildFailedError as error:
        sys.exit(max(1, error.get_first_failure()[1].exitcode))
