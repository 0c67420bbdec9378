"""What a store of 100,000 drawn pictures costs: to make, when nothing is new, and grown by 1 % (targets S8 and S9).

    python -m benchmarks.large_store --images 100000 --folder DIR      # from the repository's root; prints Markdown

Pictures are 16 pixels of noise with titles, so that captions cost nothing and a small tower embeds them; everything
else is the recipe ``folder`` with a small backbone and a few steps. Commands run in processes of their own. Start-up is
what ``spn4cir recipes`` and ``dagster asset list`` take. DIR keeps pictures and store: the same command goes on there.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.channel_cost import captions_of
from benchmarks.dagster_overhead import DIRECTLY, ROOT
from benchmarks.grow_corpus import line
from spn4cir_core.flow import STAGES
from spn4cir_core.store.artifacts import Store
from tests.pipelines import toml_of

NAME, SIDE, CATEGORIES = "large", 16, 100
TRAINING = ("stage1_checkpoint", "control_checkpoint", "stage2_checkpoint")
PICTURES_A_SEED = 1000


def draw_pictures(folder: Path, count: int) -> None:
    """Write the first ``count`` pictures that are not there, and the table of the titles of all."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    rows = []
    for first in range(0, count, PICTURES_A_SEED):
        rng = np.random.default_rng(first)
        titles = captions_of(PICTURES_A_SEED, rng)
        noise = rng.integers(0, 256, (PICTURES_A_SEED, SIDE, SIDE, 3), np.uint8)
        for number in range(first, min(count, first + PICTURES_A_SEED)):
            name = f"category{number % CATEGORIES:02d}/{number:07d}.png"
            path = folder / "pictures" / name
            if not path.is_file():
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(noise[number - first]).save(path)
            rows.append((name, titles[number - first]))
    with (folder / "pictures" / "metadata.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("file", "title"), *rows])


def recipe_of(folder: Path) -> Path:
    tables: dict[str, Any] = {
        "base": "folder",
        "name": NAME,
        "images": {"reader": {"kind": "folder", "folder": str(folder / "pictures")}},
        "image_embeddings": {"encoder": {"kind": "vision_tower", "model": "builtin:shapes", "pooling": "flatten"}},
        "splits": {"near_duplicates_by": []},
        "pairs": {"per_reference": 2},
        "stage1_checkpoint": {"steps": 20, "batch_size": 64, "backbone": {"kind": "small"}},
        "stage2_checkpoint": {"steps": 20, "batch_size": 64},
        "blend": {"channels": ["picture", "modified_text", "edited_caption", "reference_caption", "removed_words"]},
        "eval_report": {"bootstrap_draws": 100, "gallery_pictures": 2},
    }
    path = folder / f"{NAME}.toml"
    path.write_text(toml_of(tables), encoding="utf-8")
    return path


def seconds(words: Sequence[str], folder: Path) -> float:
    """Wall seconds of a Python command line; an error ends everything."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "SPN4CIR"))}
    home = folder / "home"
    home.mkdir(exist_ok=True)
    shutil.copyfile(ROOT / "dagster.yaml", home / "dagster.yaml")
    environment = {
        "DAGSTER_HOME": str(home),
        "SPN4CIR_RECIPE": str(folder / f"{NAME}.toml"),
        "SPN4CIR_STORE": str(folder / "store"),
    }
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env={**own, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return time.perf_counter() - began


def core(folder: Path, *words: str) -> float:
    return seconds(["-c", DIRECTLY, *words], folder)


def dagster(folder: Path, *words: str) -> float:
    return seconds(["-m", "dagster", "asset", *words, "-m", "dagster_project.definitions"], folder)


def spent(folder: Path) -> dict[str, float]:
    """Stage → seconds that its current artefact took."""
    store = Store(folder / "store")
    made = {name: store.current(NAME, name) for name in STAGES}
    return {name: sum(artifact.summary["seconds"].values()) for name, artifact in made.items() if artifact}


def print_growth(whole: float, grown: float, before: Mapping[str, float], after: Mapping[str, float]) -> None:
    line("stage", "all, s", "1 % more, s")
    line("---", "---", "---")
    for name in STAGES:
        line(name, f"{before[name]:.1f}", f"{after[name]:.1f}")
    trained = [sum(spent[name] for name in TRAINING) for spent in (before, after)]
    line("the command", f"{whole:.1f}", f"{grown:.1f}")
    share = (grown - trained[1]) / (whole - trained[0])
    line("without training", f"{whole - trained[0]:.1f}", f"{grown - trained[1]:.1f} ({share:.1%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--grow", action="store_true", help="then add 1 %% and run again")
    given = parser.parse_args()
    folder = given.folder.absolute()
    draw_pictures(folder, given.images)
    recipe_of(folder)
    whole = core(folder, "run")
    before = spent(folder)
    print(f"made, or found up to date: {whole:.1f} s\n", flush=True)
    line("command", "start-up, s", "nothing to do, s", "beyond start-up, s")
    line("---", "---", "---", "---")
    repeats = range(given.repeats)
    for name, command, start, work in (
        ("spn4cir run", core, ["recipes"], ["run"]),
        ("dagster asset materialize", dagster, ["list"], ["materialize", "--select", "*"]),
    ):
        turns = [(command(folder, *start), command(folder, *work)) for _ in repeats]
        start_s, work_s = (median(turn[side] for turn in turns) for side in (0, 1))
        line(name, f"{start_s:.2f}", f"{work_s:.2f}", f"{median(two - one for one, two in turns):.2f}")
    if given.grow:
        draw_pictures(folder, given.images + max(1, given.images // 100))
        grown = core(folder, "run")
        print()
        print_growth(whole, grown, before, spent(folder))


if __name__ == "__main__":
    main()
