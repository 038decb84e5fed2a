"""Writes settings that go together into `params.yaml`, comments kept.

python -m stages.preset --list          # which there are, and what each is for
python -m stages.preset smoke           # then: dvc repro
python -m stages.preset paper gpu-7b    # several, the later ones last
python -m stages.preset laptop          # back to the defaults

A preset is a file in `presets/`. First all keys that any preset sets go back to their defaults
(`presets/laptop.yaml`), so it never matters which one was there before; what no preset sets stays
as you have it. What changes is printed.
"""

import argparse

from stages.io.errors import run_stage
from stages.io.params import PARAMS_FILE
from stages.preset.overlay import DEFAULT, PRESETS, apply, described, known


def main() -> None:
    """Applies presets, or lists them."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.preset",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="presets, the later ones last")
    parser.add_argument("--list", action="store_true", help="print which there are")
    args = parser.parse_args()
    if args.list or not args.names:
        for name in known(PRESETS):
            print(f"{name:<8} {described(PRESETS, name)}")
        return
    changes = apply([DEFAULT, *args.names], PARAMS_FILE, PRESETS)
    for key, (before, after) in changes.items():
        print(f"{key}: {before} -> {after}")
    print(f"{PARAMS_FILE}: {len(changes)} values changed; run `dvc repro`")


if __name__ == "__main__":
    run_stage(main)
