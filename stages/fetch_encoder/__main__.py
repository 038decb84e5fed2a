"""Fetches the text encoder: `python -m stages.fetch_encoder`.

Writes `models/encoder/`: config.json, the weights as safetensors, the tokenizer, and
`encoder.json`, which says where all of it came from.
"""

from pathlib import Path

from stages.common.errors import run_stage
from stages.common.params import load_section
from stages.fetch_encoder.params import FetchEncoder
from stages.fetch_encoder.write import write_encoder

ENCODER_FOLDER = Path("models/encoder")


def main() -> None:
    """Reads the params, fetches the encoder, prints what it is."""
    source = load_section(FetchEncoder, "fetch_encoder").source
    facts = write_encoder(source=source, folder=ENCODER_FOLDER)
    print(f"{ENCODER_FOLDER}: {source}, {facts['parameters'] / 1e6:,.1f} M parameters")


if __name__ == "__main__":
    run_stage(main)
