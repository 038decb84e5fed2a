"""Fetches the text encoder: `python -m stages.fetch_encoder`.

Writes `models/encoder/`: config.json, the weights as safetensors, the tokenizer, and
`encoder.json`, which says where all of it came from. Where CTRL, which alone reads it, is not in
`compare.methods`, nothing is fetched and the folder says so.
"""

from pathlib import Path

from stages.common.chosen import is_chosen
from stages.common.errors import run_stage
from stages.common.params import load_section
from stages.common.tables import replacing
from stages.fetch_encoder.params import FetchEncoder

ENCODER_FOLDER = Path("models/encoder")


def main() -> None:
    """Reads the params, fetches the encoder, prints what it is."""
    source = load_section(FetchEncoder, "fetch_encoder").source
    if not is_chosen("ctrl"):
        with replacing(ENCODER_FOLDER) as folder:
            folder.mkdir()
            (folder / "skipped").touch()
        print("ctrl is not in compare.methods: no encoder is fetched")
        return
    # Only now: what is skipped shall not wait for transformers.
    from stages.fetch_encoder.write import write_encoder

    facts = write_encoder(source=source, folder=ENCODER_FOLDER)
    print(f"{ENCODER_FOLDER}: {source}, {facts['parameters'] / 1e6:,.1f} M parameters")


if __name__ == "__main__":
    run_stage(main)
