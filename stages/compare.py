"""Fits a compared method without an LLM, scores the test rows: `python -m stages.compare mf|din|…`.

Reads data/interactions/; writes a row of the table, and models/compare/<method>.safetensors: what
the method has learned of users and items.
"""

from stages import methods
from stages.collab.interactions import read_interactions
from stages.collab.row import write_row
from stages.collab.vector_file import write_vectors
from stages.io.command import start
from stages.io.params import load_section, load_shared
from stages.io.paths import INTERACTIONS_FOLDER, fitted_tensors


def main(name: str) -> None:
    """Fits the method, once per seed, and writes what comes out."""
    method = methods.load(name)
    settings = load_section(method.settings, f"compare.{name}")
    data = read_interactions(INTERACTIONS_FOLDER, history=method.history(settings))
    seed = load_shared("seed")
    fitted = write_row(name, lambda root: method.fit(data, settings, root), data, seed)
    write_vectors(fitted.tensors, fitted_tensors(name))


if __name__ == "__main__":
    start(main, "method")
