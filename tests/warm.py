"""A Python that has imported what DVC and the stages import, and runs programs in copies of itself.

On a slice of the data, starting Python and importing torch, transformers and peft costs a stage
many times its work. Programs are started as ever, by `dvc` and `python -m`: `shims` writes
programs of these names, to be found first, that hand over their arguments, environment, folder,
input and output, and end with the exit status. The project's own modules are imported anew.
"""

import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Nothing of the project; none of it starts a thread.
IMPORTED = [
    "accelerate",
    "dvc.commands.experiments.run",
    "dvc.commands.metrics",
    "dvc.commands.repro",
    "dvc.repo.experiments.executor.local",
    "dvc.repo.experiments.queue.workspace",
    "dvc.repo.metrics.diff",
    "dvc.repo.reproduce",
    "jinja2",
    "matplotlib.figure",
    "pandas",
    "peft",
    "pyarrow.parquet",
    "scipy.special",
    "sklearn.linear_model",
    "sklearn.utils.extmath",
    "torch.distributed.launcher.api",
    "transformers",
    "transformers.models.llama.modeling_llama",
]
SHIM = """\
#!{python} -IS
import json, os, socket, sys
words = [{name!r}, *sys.argv[1:]]
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    asked = {{"words": words, "cwd": os.getcwd(), "environment": dict(os.environ)}}
    socket.send_fds(server, [json.dumps(asked).encode() + b"\\n"], [0, 1, 2])
    answer = server.recv(16)
sys.exit(int(answer) if answer else 137)
"""


@contextmanager
def shims(folder: Path) -> Iterator[None]:
    """Writes `dvc` and `python` to a new folder; they work for as long as this is open."""
    folder.mkdir()
    address = str(folder / "socket")
    for name in ("dvc", "python"):
        path = folder / name
        path.write_text(SHIM.format(python=sys.executable, name=name, address=address))
        path.chmod(0o755)
    command = [sys.executable, __file__, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout and server.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            server.kill()


def main() -> None:
    """Waits for programs to run, each in a copy of this process."""
    for name in IMPORTED:
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(sys.argv[1])
        listening.listen()
        print("ready", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # copies end unwaited for
        while True:
            caller, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                serve(caller)
            caller.close()


def serve(caller: socket.socket) -> None:
    """Runs what a shim asks for, tells it the exit status, and ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    received, files, *_ = socket.recv_fds(caller, 1 << 20, 3)
    while not received.endswith(b"\n"):
        received += caller.recv(1 << 20)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    status = run(**json.loads(received))
    sys.stdout.flush()
    sys.stderr.flush()
    caller.sendall(str(status).encode())
    os._exit(0)


def run(words: list[str], cwd: str, environment: dict[str, str]) -> int:
    """Runs a program as its name says; returns its exit status."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    program, *rest = words
    module = "dvc" if program == "dvc" else rest[1]
    assert program == "dvc" or rest[0] == "-m", words
    sys.argv = [module, *(rest if program == "dvc" else rest[2:])]
    sys.path[0] = cwd
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


if __name__ == "__main__":
    main()
