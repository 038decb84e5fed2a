"""Fits one method, once per seed, and writes what the first seed's fit scores."""

from pathlib import Path

from stages.collab.fitting import CollaborativeModel, Fit
from stages.collab.interactions import read_interactions
from stages.collab.report import fit_and_report
from stages.collab.vector_file import write_vectors
from stages.common.params import load_section, load_shared, part_of
from stages.common.quality import Measures
from stages.common.repeats import Repeats
from stages.common.seeds import derived_seed
from stages.compare.methods import fit_method, vectors_of
from stages.compare.params import Compare


def run_method(method: str) -> None:
    """Fits the method, writes scores, metrics, cost and vectors."""
    settings = load_section(part_of(Compare, method), f"compare.{method}").model_dump()
    measures = load_section(Measures, "compare.measures").model_dump()
    seeds, seed = load_section(Repeats, "compare").seeds, load_shared("seed")
    data = read_interactions(Path("data/interactions"), history=settings.pop("history", 0))

    def fitted_under(root: int) -> tuple[CollaborativeModel, Fit]:
        return fit_method(
            method,
            data.rows["train"],
            data.rows["valid"],
            n_users=data.n_users,
            n_items=data.n_items,
            seed=derived_seed(root, f"compare.{method}"),
            **settings,
        )

    model = fit_and_report(method, fitted_under, data, seed=seed, seeds=seeds, measures=measures)
    write_vectors(vectors_of(model), Path(f"models/compare/{method}.safetensors"))
