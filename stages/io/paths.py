"""Where everything lies that a stage writes: the only place that knows.

A *row* is a line of the table: a compared method, a set of codes, or a variant of BinLLM.
"""

from pathlib import Path

PLAN = Path("data/plan")
PLANNED_ROWS = PLAN / "rows.json"
RAW = Path("data/raw")
INTERACTIONS_FOLDER = Path("data/interactions")
TEST_ROWS = INTERACTIONS_FOLDER / "test.parquet"
LLM_FOLDER = Path("models/llm")
PREDICTIONS_FOLDER = Path("data/predictions")
EVALUATION = Path("data/evaluation")
REPORT = Path("data/report")
METRICS = Path("metrics")
HEADLINE = METRICS / "main.json"
TABLE = METRICS / "evaluate.json"
PLOTS = METRICS / "plots"


def key_file(stage: str, item: str | None = None) -> Path:
    """The file on which a stage, or one of its items, depends for its sources and settings."""
    return PLAN / stage / item if item else PLAN / stage


def hash_model(codes: str) -> Path:
    """Folder of a set of codes as `pretrain_hash` learned it."""
    return Path("models/hash") / codes


def codes_folder(codes: str) -> Path:
    """Folder of a set of codes as tables."""
    return Path("data/codes") / codes


def code_quality(codes: str) -> Path:
    """How good and how healthy a set of codes is."""
    return METRICS / "pretrain_hash" / f"{codes}.json"


def prompts_folder(prompts: str) -> Path:
    """Folder of a set of prompts, a table per split."""
    return Path("data/prompts") / prompts


def adapter_folder(variant: str) -> Path:
    """Folder of a variant's adapter."""
    return Path("models/adapters") / variant


def fitted_tensors(method: str) -> Path:
    """File of what a compared method without LLM has learned."""
    return Path("models/compare") / f"{method}.safetensors"


def predictions(row: str) -> Path:
    """Table of a row's scores of test rows."""
    return PREDICTIONS_FOLDER / f"{row}.parquet"


def repeats(row: str) -> Path:
    """Table of a row's scores of test rows under further seeds."""
    return Path("data/repeats") / f"{row}.parquet"


def facts(row: str) -> Path:
    """Validation AUC, number of trained parameters and course of a row's fit; small, in git."""
    return METRICS / "rows" / f"{row}.json"


def fit_cost(row: str) -> Path:
    """Seconds of a row's fit: apart from facts, since they change from run to run."""
    return Path("data/costs/fit") / f"{row}.json"


def scoring_cost(row: str) -> Path:
    """Seconds of scoring a row's test rows."""
    return Path("data/costs/scoring") / f"{row}.json"
