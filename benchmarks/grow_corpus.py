"""What new pictures and kills cost captions and embeddings (targets P6 and P7). Prints a Markdown table.

    python benchmarks/grow_corpus.py --images 4000 --kills 5

The corpus is drawn (scenes of shapes); captions are the built-in LLaVA's, vectors its vision tower's. Each step runs
in a process of its own, as `spn4cir run --select images,captions,image_embeddings` would.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import random
import shutil
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from spn4cir_core.images.shape_scenes import draw_scene, random_scene
from spn4cir_core.launch.run_flow import run
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Artifact, Store

STAGES = ("images", "captions", "image_embeddings")
KILLED = ("captions", "image_embeddings")
SHARD_ROWS = 256


def draw_pictures(folder: Path, first: int, end: int) -> None:
    """Different scenes, one PNG each; the same number gives the same picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, end):
        draw_scene(random_scene(Random(number)), 48).save(folder / f"{number:06d}.png")


def recipe_of(folder: Path) -> Recipe:
    return load_recipe(
        "demo",
        {
            "name": "grow",
            "images": {"reader": {"kind": "folder", "folder": str(folder)}},
            "captions": {"shard_rows": SHARD_ROWS},
            "pairs": {"mode": "auto", "window": [0, 20], "per_reference": 20},
            "stage1_checkpoint": {"validation": {"queries": "auto"}},
            "stage2_checkpoint": {"validation": {"queries": "auto"}},
            "image_embeddings": {"shard_rows": SHARD_ROWS},
        },
    )


def work(folder: Path, store: Path, names: tuple[str, ...], progress_file: Path) -> None:
    """Run stages, writing down how far they are after each batch."""

    def progress(label: str, done: int, total: int) -> None:
        progress_file.write_text(str(done), encoding="utf-8")

    run(recipe_of(folder), Store(store), names, progress)


def timed(folder: Path, store: Path, names: tuple[str, ...] = STAGES) -> float:
    """Wall seconds of the stages in a fresh process."""
    started = time.perf_counter()
    child = multiprocessing.get_context("spawn").Process(target=work, args=(folder, store, names, store / "progress"))
    child.start()
    child.join()
    assert child.exitcode == 0
    return time.perf_counter() - started


def current(folder: Path, store: Path, name: str) -> Artifact:
    artifact = Store(store).current("grow", name)
    assert artifact is not None
    return artifact


def digest(artifact: Artifact) -> str:
    """Of the artefact's data files."""
    files = artifact.summary["files"]
    return hashlib.sha256(str(sorted((name, files[name]["sha256"]) for name in files)).encode()).hexdigest()


def kept_rows(store: Path, name: str) -> int:
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(part).num_rows for part in (store / "rows" / name).rglob("part-*.parquet"))


def killed(folder: Path, store: Path, name: str, images: int, kills: int) -> list[int]:
    """Kill the stage when it has done a random part of what is left, again and again; rows lost by each kill."""
    progress_file, lost = store / "progress", []
    chance = random.Random(name)
    for _ in range(kills):
        until = chance.randrange(kept_rows(store, name) + 1, images)
        progress_file.write_text("0", encoding="utf-8")
        child = multiprocessing.get_context("spawn").Process(target=work, args=(folder, store, (name,), progress_file))
        child.start()
        while child.is_alive() and int(progress_file.read_text(encoding="utf-8") or 0) < until:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.1))
        child.kill()
        child.join()
        lost.append(max(0, int(progress_file.read_text(encoding="utf-8") or 0) - kept_rows(store, name)))
    return lost


def line(*cells: Any) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--kills", type=int, default=5, help="kills of each stage")
    given = parser.parse_args()
    line("what", "seconds", "rows computed", "ratio")
    line(*["---"] * 4)
    with tempfile.TemporaryDirectory() as name:
        folder_of_run = Path(name)
        folder, store, count = folder_of_run / "pictures", folder_of_run / "store", given.images
        store.mkdir()
        draw_pictures(folder, 0, count)
        full = timed(folder, store)
        line(f"{count:,} pictures: {', '.join(STAGES)}", f"{full:.1f}", _computed(folder, store), 1)
        unbroken = {stage: digest(current(folder, store, stage)) for stage in KILLED}
        again = timed(folder, store)
        line("again, nothing new", f"{again:.1f}", 0, f"{full / again:.1f}× faster")
        draw_pictures(folder, count, count + max(1, count // 100))
        grown = timed(folder, store)
        line("1 % new pictures", f"{grown:.1f}", _computed(folder, store), f"{full / grown:.1f}× faster")
        draw_again, broken = folder_of_run / "broken_pictures", folder_of_run / "broken"
        broken.mkdir()
        shutil.copytree(folder, draw_again)
        for number in range(count, count + max(1, count // 100)):
            (draw_again / f"{number:06d}.png").unlink()
        timed(draw_again, broken, ("images",))
        for stage in KILLED:
            lost = killed(draw_again, broken, stage, count, given.kills)
            timed(draw_again, broken, (stage,))
            same = digest(current(draw_again, broken, stage)) == unbroken[stage]
            print(f"\n{stage}: killed {len(lost)} times at random moments; rows lost by a kill: {lost}, a shard holds")
            print(f"{SHARD_ROWS}; the result is {'identical to' if same else 'NOT'} that of the unbroken run")
            assert same
            assert all(rows <= SHARD_ROWS for rows in lost)


def _computed(folder: Path, store: Path) -> str:
    return " + ".join(f"{current(folder, store, stage).details['computed']:,}" for stage in KILLED)


if __name__ == "__main__":
    main()
