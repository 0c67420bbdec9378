"""Tags, picture vectors and the residual backbone share one pass over the pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.captions.caption_table import CAPTIONS_FILE
from spn4cir_core.captions.stage import CAPTIONS
from spn4cir_core.embeddings.lite0_encoder import Lite0Encoder
from spn4cir_core.embeddings.stage import IMAGE_EMBEDDINGS
from spn4cir_core.embeddings.vectors import read_embeddings
from spn4cir_core.images.files import ImageFiles, image_files
from spn4cir_core.images.manifest import PICTURE, read_manifest
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.models.lite0 import PACKAGE
from spn4cir_core.models.lite0_levels import Lite0Levels
from spn4cir_core.recipe import Recipe, load_recipe
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.training.image_inputs import image_inputs

pytest.importorskip("timm")
pytest.importorskip(PACKAGE)
SIZE_PX = 96


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures the network was given at a time."""
    counts: list[int] = []
    start = Lite0Levels.start

    def counted(levels: Lite0Levels) -> Callable[[Sequence[Image.Image]], np.ndarray]:
        encode = start(levels)
        return lambda images: counts.append(len(images)) or encode(images)  # type: ignore[func-returns-value]

    monkeypatch.setattr(Lite0Levels, "start", counted)
    return counts


def recipe(folder: Path) -> Recipe:
    return load_recipe(
        "folder",
        {
            "images": {"reader": {"kind": "folder", "folder": str(folder)}},
            "captions": {"captioner": {"kind": "auto", "fallback": {"kind": "tags", "size_px": SIZE_PX}}},
            "image_embeddings": {"encoder": {"kind": "lite0", "size_px": SIZE_PX}},
            "stage1_checkpoint": {"backbone": {"kind": "residual", "image_px": SIZE_PX}},
        },
    )


def draw(folder: Path, numbers: range) -> None:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 255, (6, 6, 3), np.uint8)
        Image.fromarray(pixels).resize((70, 50), Image.Resampling.BICUBIC).save(folder / f"{number}.png")


@pytest.mark.parametrize("first", ["captions", "image_embeddings"])
def test_each_picture_passes_the_network_once(tmp_path: Path, seen: list[int], first: str) -> None:
    made, store = recipe(tmp_path / "pictures"), Store(tmp_path / "store")
    draw(tmp_path / "pictures", range(5))
    manifest, vectors = run(made, store, first)
    backbone = made.stage1_checkpoint.backbone
    images = read_manifest(manifest, *PICTURE)
    inputs = image_inputs(backbone, backbone.build([], 0), images, image_files(made.images, store), store)
    assert sum(seen) == 5
    encode = Lite0Encoder(size_px=SIZE_PX).start()
    pictures = [Image.open(tmp_path / "pictures" / path).convert("RGB") for path in images["path"].to_pylist()]
    wanted = encode(pictures)
    assert (inputs[:, : wanted.shape[1]] == wanted.astype(np.float16)).all()
    ids, vectors_ND = read_embeddings(vectors)
    assert ids == images["image_id"].to_pylist()
    np.testing.assert_allclose(vectors_ND, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=2e-3)

    seen.clear()
    draw(tmp_path / "pictures", range(5, 7))
    _, grown = run(made, store, first)
    assert sum(seen) == 2
    assert (read_embeddings(grown).vectors_ND[:5] == vectors_ND).all()


def test_captions_open_each_picture_once(tmp_path: Path, seen: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    made, store = recipe(tmp_path / "pictures"), Store(tmp_path / "store")
    draw(tmp_path / "pictures", range(5))
    IMAGES.run(made, store)
    opened: list[str] = []
    open_picture = ImageFiles.open
    monkeypatch.setattr(ImageFiles, "open", lambda self, path: opened.append(path) or open_picture(self, path))  # type: ignore[func-returns-value]
    captions = CAPTIONS.run(made, store)[0]
    assert sorted(opened) == [f"{number}.png" for number in range(5)]

    again = Store(tmp_path / "again")  # captions whose features another stage has computed
    IMAGES.run(made, again)
    IMAGE_EMBEDDINGS.run(made, again)
    assert CAPTIONS.run(made, again)[0].table(CAPTIONS_FILE) == captions.table(CAPTIONS_FILE)
    assert sum(seen) == 10


def run(made: Recipe, store: Store, first: str) -> tuple[Artifact, Artifact]:
    manifest = IMAGES.run(made, store)[0]
    stages = [CAPTIONS, IMAGE_EMBEDDINGS] if first == "captions" else [IMAGE_EMBEDDINGS, CAPTIONS]
    made_by = {stage.name: stage.run(made, store)[0] for stage in stages}
    return manifest, made_by["image_embeddings"]
