"""Listing, verifying, hashing and de-duplicating pictures: time and memory as a corpus grows (target P11).

    python benchmarks/scan_images.py --images 5000 20000
    python benchmarks/scan_images.py --folder photographs/

Every tenth drawn picture is a copy of another one. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path
from random import Random

from spn4cir_core.images.shape_scenes import draw_scene, random_scene
from spn4cir_core.launch.run_flow import run
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.artifacts import Artifact, Store


def draw_pictures(folder: Path, count: int) -> None:
    """Different scenes, every tenth file a copy of the one before it."""
    folder.mkdir(parents=True)
    for number in range(count):
        path = folder / f"{number:06d}.png"
        if number % 10 == 9:
            shutil.copyfile(folder / f"{number - 1:06d}.png", path)
        else:
            draw_scene(random_scene(Random(number)), 48).save(path)


def scan(folder: Path, store: Path) -> tuple[float, Artifact]:
    started = time.perf_counter()
    recipe = load_recipe("folder", {"images": {"reader": {"folder": str(folder)}}})
    images = run(recipe, Store(store), ("images",))["images"]
    return time.perf_counter() - started, images


def peak_mb() -> float:
    """Peak memory of this process (not of the decoding workers) so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, folder: Path, store: Path) -> None:
    before = peak_mb()
    first, images = scan(folder, store)
    grown = peak_mb() - before
    again, _ = scan(folder, store)
    counts = images.details
    cells = [
        name,
        f"{counts['files']:,}",
        f"{counts['images']:,}",
        f"{counts['duplicates']:,}",
        f"{first:.1f}",
        f"{1000 * first / counts['files']:.2f}",
        f"{again:.1f}",
        f"{1000 * grown / counts['files']:.1f}",
    ]
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="*", default=[5000, 20_000], help="sizes of drawn corpora, growing")
    parser.add_argument("--folder", type=Path, help="a folder of photographs as well")
    given = parser.parse_args()
    print("| corpus | files | images | duplicates | s | ms a file | again, s | new peak memory, kB a file |")
    print("|" + " --- |" * 8)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for count in given.images:
            draw_pictures(scratch / f"drawn_{count}", count)
            measure("drawn, 48 px", scratch / f"drawn_{count}", scratch / f"store_{count}")
        if given.folder:
            measure("photographs", given.folder.absolute(), scratch / "store_photographs")


if __name__ == "__main__":
    main()
