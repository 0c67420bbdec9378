from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from spn4cir_core.backbones.base import BACKBONES
from spn4cir_core.backbones.small.settings import Small
from spn4cir_core.embeddings.vision_tower import VisionTower
from spn4cir_core.engine.plugins import as_table
from spn4cir_core.errors import InputError
from spn4cir_core.images import picture_rows as module
from spn4cir_core.images.files import ImageFiles, pixel_sha256
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.rows import Rows
from spn4cir_core.training.image_inputs import image_inputs
from tests.backbones.small_backbones import WRITERS

BACKBONE = Small(dim=8, image_px=16)


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    for number in range(5):
        plain(number).save(tmp_path / f"{number}.png")
    return ImageFiles(tmp_path)


def plain(number: int) -> Image.Image:
    return Image.new("RGB", (20, 20), (number * 40, 90, 10))


def table(names: Sequence[str]) -> pa.Table:
    pixels = [pixel_sha256(plain(int(name))) for name in names]
    return pa.table({"path": [f"{name}.png" for name in names], "pixel_sha256": pixels})


def test_a_picture_that_was_replaced_since_it_was_listed_is_refused_and_leaves_no_row(
    files: ImageFiles, tmp_path: Path
) -> None:
    store, network = Store(tmp_path / "store"), BACKBONE.build([], 0)
    plain(4).save(files.root / "1.png")
    with pytest.raises(InputError, match=r"changed since it was listed \(1.png has other pixels; run again"):
        image_inputs(BACKBONE, network, table(["0", "1"]), files, store)
    assert not list(store.root.rglob("part-*"))


def test_the_rows_stand_in_the_tables_order_wherever_they_are_kept(
    files: ImageFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD_ROWS", 2)
    store, network = Store(tmp_path / "store"), BACKBONE.build([], 0)
    for names in ("31", "3140", "04413", "2"):
        inputs = image_inputs(BACKBONE, network, table(list(names)), files, store, batch_rows=2)
        expected = network.read_images([files.open(f"{name}.png") for name in names])
        assert inputs.dtype == expected.dtype
        np.testing.assert_array_equal(inputs, expected)
    assert len(list(store.root.rglob("part-*.parquet"))) == 3  # "31"; "40"; "2"
    assert image_inputs(BACKBONE, network, table([]), files, store).shape == (0,)


def test_they_lie_on_disk_and_leave_nothing_there(files: ImageFiles, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    inputs = image_inputs(BACKBONE, BACKBONE.build([], 0), table(["0", "1"]), files, store)
    assert isinstance(inputs, np.memmap)
    names = [path.name for path in store.root.rglob("*") if path.is_file()]
    assert len(names) == 1 and names[0].startswith("part-")
    batch = torch.from_numpy(inputs[[1, 0]])
    assert batch.shape == (2, 3, 16, 16) and batch.sum() > 0


def test_a_new_kind_of_input_is_read_anew(files: ImageFiles, tmp_path: Path) -> None:
    store, larger = Store(tmp_path / "store"), Small(dim=8, image_px=24)
    assert image_inputs(BACKBONE, BACKBONE.build([], 0), table(["0"]), files, store).shape == (1, 3, 16, 16)
    assert image_inputs(larger, larger.build([], 0), table(["0"]), files, store).shape == (1, 3, 24, 24)


def test_pictures_pass_an_encoder_once_for_their_vectors_and_the_network(
    files: ImageFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = VisionTower(pooling="flatten")
    backbone, store = Small(dim=8, encoder=encoder, encoder_tokens=9), Store(tmp_path / "store")
    network = backbone.build([], 0)
    inputs = image_inputs(backbone, network, table(["3", "1"]), files, store).copy()
    expected = network.read_images([files.open("3.png"), files.open("1.png")])
    np.testing.assert_allclose(inputs, expected, rtol=1e-6)
    rows = Rows(store.rows("image_embeddings", encoder.fingerprint()), pa.list_(pa.float32()))
    assert sorted(rows.keys()) == sorted(table(["1", "3"])["pixel_sha256"].to_pylist())
    rows.append([pixel_sha256(plain(2))], pa.array([None], rows.schema.field("value").type))
    monkeypatch.setattr(VisionTower, "start", lambda self: pytest.fail("the vectors are there"))
    again = image_inputs(backbone, network, table(["1", "2", "3"]), files, store)
    np.testing.assert_array_equal(again, [inputs[1], np.zeros_like(inputs[0]), inputs[0]])


@pytest.mark.parametrize("kind", ["clip4cir", "tgcir", "blip4cir", "sprc"])
def test_published_pixels_are_those_of_the_file_as_it_is_stored(kind: str, tmp_path: Path) -> None:
    layer = Image.new("RGBA", (30, 20), (200, 10, 60, 90))
    layer.paste((0, 250, 0, 255), (0, 0, 9, 9))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    layer.save(tmp_path / "layer.png", exif=exif)
    files, table_of = ImageFiles(tmp_path), WRITERS[kind](tmp_path / "weights")
    known = pa.table({"path": ["layer.png"], "pixel_sha256": [pixel_sha256(files.open("layer.png"))]})
    inputs = {}
    for pixels in ("managed", "published"):
        backbone = BACKBONES.build(table_of | {"pixels": pixels})
        network = backbone.build([], 0)
        inputs[pixels] = image_inputs(backbone, network, known, files, Store(tmp_path / "store")).copy()
        assert np.array_equal(
            inputs[pixels], network.read_images([files.open("layer.png") if pixels == "managed" else layer])
        )
        assert backbone.restoring_fingerprint() == BACKBONES.build(as_table(backbone)).restoring_fingerprint()
    assert not np.array_equal(inputs["managed"], inputs["published"])
    layer.rotate(90).save(tmp_path / "layer.png")
    with pytest.raises(InputError, match="changed since it was listed"):
        files.open_as_stored(("layer.png", known["pixel_sha256"][0].as_py()))
