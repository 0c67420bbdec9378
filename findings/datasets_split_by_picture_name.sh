#!/usr/bin/env bash
# datasets reads "train" and "test" in the names of pictures as splits and leaves out every picture without such a word.
# Of a shop's four pictures with one "pregnancy-test.png" one is read, two of four with a "train-station.png"; no warning, no error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: datasets==5.2.0 pillow==12.0.0
cd "$folder"
HF_HOME="$folder/cache" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

from datasets import disable_progress_bars, load_dataset
from PIL import Image

print("datasets", version("datasets"))
disable_progress_bars()


def pictures_read(folder, names):
    Path(folder).mkdir()
    for name in names:
        Image.new("RGB", (8, 8)).save(Path(folder, name))
    splits = load_dataset("imagefolder", data_dir=folder)
    counts = {split: len(rows) for split, rows in splits.items()}
    print(f"{len(names)} pictures {names}: read {counts}")
    return counts


plain = pictures_read("plain", ["mug.png", "shirt.png", "shoe.png", "plaster.png"])
one = pictures_read("one", ["mug.png", "shirt.png", "shoe.png", "pregnancy-test.png"])
two = pictures_read("two", ["mug.png", "shirt.png", "train-station.png", "pregnancy-test.png"])
sys.exit(not (plain == {"train": 4} and one == {"test": 1} and two == {"train": 1, "test": 1}))
PYTHON
