"""Writes a variant as a folder that needs nothing else of this project, after `dvc repro`.

python -m stages.recommend.share codes --out shared/codes

    model.safetensors, config.json, tokenizer…   the LLM with the adapter merged into its weights
    ranker.json, items.parquet, users.parquet    what prompts show, and whom they are about
    liked.parquet, liked.json                    how somebody new has a code, where codes tell
    README.md                                    the model card, with figures on test rows

Transformers loads it as any LLM; `stages.recommend.ranker.Ranker.load` ranks with it. Who is in the
data, with what they liked, stays out unless `--with-users` says else. docs/sharing.md has more.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any, get_args

from stages.io.errors import InputError, run_stage
from stages.io.params import load_shared
from stages.io.paths import LLM_FOLDER, TABLE, adapter_folder
from stages.io.tables import read_json, replacing
from stages.llm.adapters import load_adapter
from stages.llm.fetching.convert import save_plain
from stages.llm.fetching.folder import INDEX, files_of
from stages.llm.load import Llm, load_llm, quiet
from stages.llm.params import Precision
from stages.llm.steps import variant_card
from stages.llm.variants import training_settings
from stages.recommend.catalogue import Catalogue


def main() -> None:
    """Merges the adapter and writes the folder, whole or not at all."""
    args = arguments()
    catalogue = Catalogue.of_run(args.variant)
    adapter = adapter_folder(args.variant)
    llm = load_adapter(load_llm(LLM_FOLDER, precision=args.precision), adapter)
    with replacing(args.out) as partial:
        partial.mkdir()
        write_merged(llm, partial)
        catalogue.write(partial, with_users=args.with_users)
        (partial / "README.md").write_text(card_of(args.variant, llm), encoding="utf-8")
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(
        f"{args.out}: {args.variant}, {size / 1e6:,.0f} MB, {len(catalogue.items.number):,} items"
    )


def write_merged(llm: Llm, folder: Path) -> None:
    """Writes the LLM with its adapter merged in, and its tokenizer, as transformers reads them.

    Args:
        llm: from `load_adapter`, not trainable: its layers' weights hold the products already.
        folder: where to.
    """
    with quiet():
        save_plain(llm.model.unload(), folder)  # type: ignore[operator]
    for path in files_of(LLM_FOLDER):
        if path.suffix != ".safetensors" and path.name not in (INDEX, "config.json"):
            shutil.copyfile(path, folder / path.name)


def card_of(variant: str, llm: Llm) -> str:
    """Returns the card with all that is known after a run."""
    settings = training_settings(variant)
    known = {"data set": load_shared("dataset"), **validation(variant), **on_test_rows(variant)}
    return variant_card(variant, llm, LLM_FOLDER, settings, known, merged=True)


def validation(variant: str) -> dict[str, Any]:
    """Returns what training noted of its best checkpoint."""
    best = read_json(adapter_folder(variant) / "tuning.json")["best"]
    return {"AUC on drawn validation rows": best["auc"]} if "auc" in best else {}


def on_test_rows(variant: str) -> dict[str, str]:
    """Returns AUC, UAUC and GAUC on the test rows with their intervals, as `evaluate` found them.

    What is undefined is left out.
    """
    found = read_json(TABLE) if TABLE.is_file() else {}
    row = found.get("methods", {}).get(variant)
    if row is None:
        return {"on test rows": "not evaluated"}
    level, spans = found["protocol"]["level"], row["intervals"]
    return {
        f"{name.upper()} on {row['rows']:,} test rows": (
            f"{row[name]:.4f}, {level:.0%} interval over users "
            f"[{spans[name]['low']:.4f}, {spans[name]['high']:.4f}]"
        )
        for name in ("auc", "uauc", "gauc")
        if name in row and name in spans
    }


def arguments() -> argparse.Namespace:
    """Returns what the command line asks for.

    Raises:
        InputError: the folder is there already.
    """
    parser = argparse.ArgumentParser(
        prog="python -m stages.recommend.share",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("variant", help="whose adapter and prompts: text, codes, …")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--with-users", action="store_true", help="also who liked and met what")
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="float32",
        help="of the merged weights (default float32)",
    )
    args = parser.parse_args()
    if args.out.exists():
        raise InputError(f"--out {args.out}: is there already; expected a new folder's name")
    return args


if __name__ == "__main__":
    run_stage(main)
