"""What a store of 100,000 drawn pictures costs: to make, when nothing is new, and grown by 1 % (targets S8 and S9).

    python -m benchmarks.large_store --images 100000 --folder DIR      # from the repository's root; prints Markdown

Pictures are 16 pixels of noise with titles, so that captions cost nothing and a small tower embeds them; everything
else is the recipe ``folder`` with a small backbone and a few steps. Commands run in processes of their own. Start-up is
what ``spn4cir recipes`` and ``dagster asset list`` take. DIR keeps pictures and store: the same command goes on there.
Growth is measured stage by stage, by the clock and in processor time.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
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
from spn4cir_core.cli import app
from spn4cir_core.engine.stage import Stage
from spn4cir_core.flow import STAGES
from tests.pipelines import toml_of

NAME, SIDE, CATEGORIES = "large", 16, 100
TRAINING = ("stage1_checkpoint", "control_checkpoint", "stage2_checkpoint")
BY_CHECKPOINT = ("candidate_bank", "blend", "eval_report", "search_index")
"""What a new checkpoint makes anew, whatever the pictures."""
COSTS = "costs.json"
MEASURED = "import sys; from benchmarks.large_store import run_measured; run_measured(sys.argv.pop())"
PICTURES_A_SEED = 1000
Cost = tuple[float, float]
"""Wall seconds, and seconds of computing, children included."""


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


def used() -> Cost:
    """The clock, and the processor time of this process and its finished children."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(part.ru_utime + part.ru_stime for part in usage)


def run_measured(costs_file: str) -> None:
    """``spn4cir run``, with the cost of each stage written down."""
    costs: dict[str, Cost] = {}
    run_stage = Stage.run

    def measured(stage: Stage[Any], *arguments: Any, **named: Any) -> Any:
        wall_s, computing_s = used()
        result = run_stage(stage, *arguments, **named)
        costs[stage.name] = used()[0] - wall_s, used()[1] - computing_s
        return result

    Stage.run = measured  # type: ignore[method-assign]
    sys.argv = ["spn4cir", "run"]
    try:
        app.main()
    finally:
        Path(costs_file).write_text(json.dumps(costs), encoding="utf-8")


def measured_run(folder: Path) -> dict[str, Cost]:
    """Stage → cost of a run in a process of its own."""
    seconds(["-c", MEASURED, str(folder / COSTS)], folder)
    return {
        name: (wall_s, computing_s) for name, (wall_s, computing_s) in json.loads((folder / COSTS).read_text()).items()
    }


def print_growth(before: Mapping[str, Cost], after: Mapping[str, Cost]) -> None:
    """Each stage, then all of them, without training, and without what a new checkpoint makes anew."""
    line("stage", "all: wall s", "processor s", "1 % more: wall s", "processor s", "share of the processor time")
    line(*["---"] * 6)
    data = [name for name in STAGES if name not in (*TRAINING, *BY_CHECKPOINT)]
    rows = {name: [name] for name in STAGES}
    rows |= {"all": list(STAGES), "without training": [name for name in STAGES if name not in TRAINING]}
    rows["images to false negatives"] = data
    for title, names in rows.items():
        whole, grown = (np.sum([costs[name] for name in names], axis=0) for costs in (before, after))
        share = f"{grown[1] / whole[1]:.1%}" if whole[1] else ""
        line(title, *(f"{figure:.1f}" for figure in (*whole, *grown)), share)


def print_nothing_to_do(folder: Path, times: int) -> None:
    line("command", "start-up, s", "nothing to do, s", "beyond start-up, s")
    line("---", "---", "---", "---")
    for name, command, start, work in (
        ("spn4cir run", core, ["recipes"], ["run"]),
        ("dagster asset materialize", dagster, ["list"], ["materialize", "--select", "*"]),
    ):
        turns = [(command(folder, *start), command(folder, *work)) for _ in range(times)]
        start_s, work_s = (median(turn[side] for turn in turns) for side in (0, 1))
        line(name, f"{start_s:.2f}", f"{work_s:.2f}", f"{median(two - one for one, two in turns):.2f}")


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
    before = measured_run(folder)
    print(f"made, or found up to date: {sum(wall_s for wall_s, _ in before.values()):.1f} s\n", flush=True)
    if given.repeats:
        print_nothing_to_do(folder, given.repeats)
    if given.grow:
        draw_pictures(folder, given.images + max(1, given.images // 100))
        after = measured_run(folder)
        print()
        print_growth(before, after)


if __name__ == "__main__":
    main()
