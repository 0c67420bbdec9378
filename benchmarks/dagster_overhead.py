"""What a run through Dagster costs beside the same stages called directly (target P8). Prints a Markdown table.

    python -m benchmarks.dagster_overhead --images 200 2000      # from the repository's root

Each corpus is drawn (scenes of shapes), and the whole flow made of it from empty stores by the core alone and by
``dagster asset materialize``, each in a process of its own, then by both again with nothing left to compute. That is
done several times, the core first and Dagster first in turns; the table has the medians.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.grow_corpus import draw_pictures, line
from spn4cir_core.flow import STAGES
from spn4cir_core.store.artifacts import Store
from tests.pipelines import toml_of

ROOT = Path(__file__).parents[1]
DIRECTLY = "from spn4cir_core.cli.app import main; main()"
Cost = tuple[float, float]
"""Wall seconds, and seconds of computing, children included."""


def recipe_of(folder: Path) -> Path:
    tables: dict[str, Any] = {
        "base": "demo",
        "name": "overhead",
        "images": {"reader": {"kind": "folder", "folder": str(folder / "pictures")}},
        "pairs": {"mode": "auto", "window": [0, 20]},
        "stage1_checkpoint": {"steps": 4, "batch_size": 16, "validation": {"queries": "auto"}},
        "stage2_checkpoint": {"steps": 4, "batch_size": 16, "validation": {"queries": "auto"}},
        "eval_report": {"bootstrap_draws": 100, "gallery_pictures": 2},
    }
    path = folder / "overhead.toml"
    path.write_text(toml_of(tables), encoding="utf-8")
    return path


def cost(words: Sequence[str], **environment: str) -> Cost:
    """Run to the end in a process of its own."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "SPN4CIR"))}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env={**own, **environment}, capture_output=True, text=True, check=False
    )
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def directly(recipe: Path, store: Path) -> Cost:
    return cost(["-c", DIRECTLY, "run", "--recipe", str(recipe), "--store", str(store)])


def through_dagster(recipe: Path, store: Path, executor: str) -> Cost:
    home = store.with_name(f"{store.name}-home")
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    return cost(
        ["-m", "dagster", "asset", "materialize", "--select", "*", "-m", "dagster_project.definitions"],
        DAGSTER_HOME=str(home),
        SPN4CIR_RECIPE=str(recipe),
        SPN4CIR_STORE=str(store),
        SPN4CIR_EXECUTOR=executor,
    )


def same(one: Store, other: Store) -> bool:
    pairs = [(one.current("overhead", name), other.current("overhead", name)) for name in STAGES]
    return all(a and b and a.summary["files"] == b.summary["files"] for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--executor", default="in_process", help="as SPN4CIR_EXECUTOR")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    line("pictures", "what", "directly: wall s", "CPU s", "Dagster: wall s", "CPU s", "more per asset: wall s", "CPU s")
    line(*["---"] * 8)
    for images in given.images:
        with tempfile.TemporaryDirectory(prefix="spn4cir-overhead-") as name:
            folder = Path(name)
            draw_pictures(folder / "pictures", 0, images)
            recipe, made, repeated = recipe_of(folder), [], []
            for turn in range(given.repeats):
                sides = [
                    partial(directly, recipe, folder / f"alone{turn}"),
                    partial(through_dagster, recipe, folder / f"dagster{turn}", given.executor),
                ]
                made.append(both(sides, turn))
                assert same(Store(folder / f"alone{turn}"), Store(folder / f"dagster{turn}"))
                repeated.append(both(sides, turn))
            print_costs(images, "everything", made)
            print_costs(images, "nothing to compute", repeated)


def both(sides: Sequence[Callable[[], Cost]], turn: int) -> list[Cost]:
    """What each side costs, measured one after the other, the other one first in odd turns."""
    order = [0, 1] if turn % 2 == 0 else [1, 0]
    costs = {side: sides[side]() for side in order}
    return [costs[0], costs[1]]


def print_costs(images: int, what: str, turns: Sequence[Sequence[Cost]]) -> None:
    core, dagster = ([median(turn[side][kind] for turn in turns) for kind in (0, 1)] for side in (0, 1))
    more = [f"{median(turn[1][kind] - turn[0][kind] for turn in turns) / len(STAGES):.2f}" for kind in (0, 1)]
    line(f"{images:,}", what, *(f"{value:.1f}" for value in (*core, *dagster)), *more)


if __name__ == "__main__":
    main()
