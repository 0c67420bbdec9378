"""The one pass over pictures (captions, vectors, image inputs) against its least: one opening and one forward pass.

``python -m benchmarks.one_pass DIR --turns 3 --threads 1`` prints a line a turn, in processor seconds of this process;
torch is loaded beforehand, and the pictures are listed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from spn4cir_core.engine.freed_memory import freed_memory_kept
from spn4cir_core.flow import STAGES
from spn4cir_core.images.files import image_files
from spn4cir_core.models.lite0 import lite0_pixels
from spn4cir_core.models.lite0_levels import ROWS_ON_CPU, folded_lite0, largest_square
from spn4cir_core.models.precision import has_bfloat16
from spn4cir_core.recipe import load_recipe
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.image_inputs import image_inputs

SIZE_PX = 224


def least_s(folder: Path) -> float:
    """Opening each picture once, scaling it, and the bare network in its fastest precision, on one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    started, levels = time.process_time(), folded_lite0(has_bfloat16())
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    with freed_memory_kept(), torch.inference_mode():
        for start in range(0, len(paths), ROWS_ON_CPU):
            squares = [largest_square(Image.open(path).convert("RGB")) for path in paths[start : start + ROWS_ON_CPU]]
            levels(lite0_pixels(squares, SIZE_PX).contiguous(memory_format=torch.channels_last))
    torch.set_num_threads(threads)
    return time.process_time() - started


def pass_s(folder: Path) -> float:
    """Captions, vectors and the inputs of the recipe's backbone, in a fresh store."""
    recipe = load_recipe("folder", {"images": {"reader": {"kind": "folder", "folder": str(folder)}}})
    with tempfile.TemporaryDirectory() as home:
        store = Store(home)
        STAGES["images"].run(recipe, store)
        started = time.process_time()
        for stage in ("captions", "image_embeddings"):
            STAGES[stage].run(recipe, store)
        backbone, manifest = recipe.stage1_checkpoint.backbone, store.current(recipe.name, "images")
        assert manifest is not None
        images = pq.read_table(manifest.path / "images.parquet", columns=["path", "pixel_sha256"])
        image_inputs(backbone, backbone.build(["a text"], 0), images, image_files(recipe.images, store), store)
        return time.process_time() - started


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for turn in range(options.turns):
        least, whole = least_s(options.images), pass_s(options.images)
        print(f"turn {turn + 1}: least {least:.2f} s, pass {whole:.2f} s, {whole / least:.2f} times", flush=True)


if __name__ == "__main__":
    main()
