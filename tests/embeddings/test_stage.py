from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.embeddings.base import ImageEncoder
from spn4cir_core.embeddings.stage import IMAGE_EMBEDDINGS, NOT_FINITE
from spn4cir_core.embeddings.vectors import open_vectors
from spn4cir_core.errors import InputError
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Artifact, Store

ME = "tests.embeddings.test_stage:Mosaic"


class Mosaic(ImageEncoder):
    """A real, small encoder: the picture at 3×3 pixels. Black pictures give no direction, red ones no number."""

    pause_s: float = 0.0

    def fingerprint(self) -> str:
        return "mosaic"

    def start(self) -> Callable[[Sequence[Image.Image]], np.ndarray]:
        def encode(images: Sequence[Image.Image]) -> np.ndarray:
            time.sleep(self.pause_s)
            rows = np.stack([np.asarray(image.resize((3, 3)), np.float32).ravel() for image in images])
            rows[(rows[:, 0] == 255) & (rows[:, 1] == 0)] = np.nan
            return rows

        return encode


def folder(root: Path, numbers: range) -> Path:
    root.mkdir(exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(1, 200, (12, 12, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"{number:02d}.png")
    return root


def recipe(root: Path, **settings: Any) -> Recipe:
    embeddings = {"encoder": {"kind": ME}, "batch_rows": 4, **settings}
    return load_recipe(
        "demo", {"images": {"reader": {"kind": "folder", "folder": str(root)}}, "image_embeddings": embeddings}
    )


def run(made: Recipe, store: Store) -> Artifact:
    IMAGES.run(made, store)
    return IMAGE_EMBEDDINGS.run(made, store)[0]


def test_rows_are_unit_vectors_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    root = folder(tmp_path / "pictures", range(10))
    artifact = run(recipe(root), Store(tmp_path / "store"))
    vectors, ids = open_vectors(artifact), artifact.table()["image_id"].to_pylist()
    assert [image_id.rpartition("/")[2] for image_id in ids] == [f"{number:02d}.png" for number in range(10)]
    encode = Mosaic().start()
    for number, vector in enumerate(vectors):
        wanted = encode([Image.open(root / f"{number:02d}.png").convert("RGB")])[0].astype(float)
        np.testing.assert_allclose(vector, wanted / np.linalg.norm(wanted), atol=1e-6)


def test_what_is_not_finite_is_counted(tmp_path: Path) -> None:
    root = folder(tmp_path / "pictures", range(4))
    Image.new("RGB", (12, 12), (0, 0, 0)).save(root / "black.png")
    Image.new("RGB", (12, 12), (255, 0, 0)).save(root / "red.png")
    artifact = run(recipe(root), Store(tmp_path / "store"))
    assert artifact.summary["drops"] == {NOT_FINITE: 2}
    assert artifact.summary["rows"] == len(open_vectors(artifact)) == len(artifact.table()) == 4
    assert np.isfinite(open_vectors(artifact)).all()


def test_no_vector_at_all_is_an_error(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    Image.new("RGB", (12, 12), (0, 0, 0)).save(root / "black.png")
    with pytest.raises(InputError, match="not one of the 1 images"):
        run(recipe(root), Store(tmp_path / "store"))


def test_new_pictures_cost_only_themselves(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first = run(recipe(folder(tmp_path / "pictures", range(5))), store)
    second = run(recipe(folder(tmp_path / "pictures", range(9))), store)
    assert (first.details["computed"], second.details["computed"], second.details["reused"]) == (5, 4, 5)
    np.testing.assert_array_equal(open_vectors(first), open_vectors(second)[:5])


def test_another_dtype_costs_nothing(tmp_path: Path) -> None:
    store, root = Store(tmp_path / "store"), folder(tmp_path / "pictures", range(5))
    wide, small_dtype = run(recipe(root), store), run(recipe(root, dtype="float16"), store)
    assert small_dtype.details["computed"] == 0
    assert open_vectors(small_dtype).dtype == np.float16
    np.testing.assert_array_equal(open_vectors(small_dtype), open_vectors(wide).astype(np.float16))


def test_batches_and_shards_change_no_byte(tmp_path: Path) -> None:
    root = folder(tmp_path / "pictures", range(11))
    files = [
        run(recipe(root, batch_rows=batch, shard_rows=shard, readers=readers), Store(tmp_path / f"{batch}")).summary[
            "files"
        ]
        for batch, shard, readers in [(1, 1, 1), (3, 5, 2), (64, 2048, 4)]
    ]
    assert files[0] == files[1] == files[2]


CHILD = """
from pathlib import Path
from spn4cir_core.store.artifacts import Store
from tests.embeddings.test_stage import recipe, run, ME
if __name__ == "__main__":
    made = recipe(Path({root!r}), encoder={{"kind": ME, "pause_s": 0.2}}, batch_rows=1, shard_rows=1)
    run(made, Store({store!r}))
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    root = folder(tmp_path / "pictures", range(20))
    whole = run(recipe(root, batch_rows=1, shard_rows=1), Store(tmp_path / "whole"))
    store, script = Store(tmp_path / "killed"), tmp_path / "child.py"
    script.write_text(CHILD.format(root=str(root), store=str(store.root)))
    child = subprocess.Popen([sys.executable, str(script)], cwd=Path(__file__).parents[2], env=_environment())
    parts = store.rows("image_embeddings", "mosaic")
    deadline = time.monotonic() + 60
    while len(list(parts.glob("part-*"))) < 3 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, "the child was to be killed amid its work"
    made = recipe(root, batch_rows=1, shard_rows=1)
    resumed = run(made, store)
    assert 0 < resumed.details["computed"] < 20
    assert resumed.summary["files"] == whole.summary["files"]


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_pictures_decoded_in_processes_give_the_same_bytes(tmp_path: Path) -> None:
    root = folder(tmp_path / "pictures", range(6))
    threads = run(recipe(root), Store(tmp_path / "threads"))
    processes = run(recipe(root, read_in="processes"), Store(tmp_path / "processes"))
    assert threads.fingerprint == processes.fingerprint
    assert threads.summary["files"] == processes.summary["files"]
