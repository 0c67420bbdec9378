from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.images.one_colour import FLAT_HASHES
from spn4cir_core.images.phash import phash
from spn4cir_core.images.stage import IMAGES
from spn4cir_core.store.artifacts import Store
from tests.images.test_stage import recipe, write_pictures


@pytest.mark.parametrize("colour", ["black", "white", "#010203", "#c80a4d", "#fefefe"])
@pytest.mark.parametrize("size", [(8, 8), (300, 200), (33, 47)])
def test_every_picture_of_one_colour_has_a_flat_hash(colour: str, size: tuple[int, int]) -> None:
    assert phash(Image.new("RGB", size, colour)) in FLAT_HASHES


def test_pictures_of_one_colour_are_counted_with_their_copies(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_pictures(tmp_path / "in", 3)
    for name, colour in (("white.png", "white"), ("white_again.bmp", "white"), ("red.png", "red")):
        Image.new("RGB", (20, 20), colour).save(tmp_path / "in" / name)
    faint = np.full((20, 20, 3), 250, np.uint8)
    faint[5:9, 5:9] = 249  # not of one colour, if hardly to be seen
    Image.fromarray(faint).save(tmp_path / "in" / "faint.png")
    with caplog.at_level(logging.WARNING):
        artifact, _ = IMAGES.run(recipe(tmp_path / "in"), Store(tmp_path / "store"))
    assert artifact.details["one_colour"] == ["red.png", "white.png"]
    assert "3 files are pictures of one colour, such as 'red.png'" in caplog.text


def test_a_corpus_without_them_is_not_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_pictures(tmp_path / "in", 3)
    with caplog.at_level(logging.WARNING):
        artifact, _ = IMAGES.run(recipe(tmp_path / "in"), Store(tmp_path / "store"))
    assert artifact.details["one_colour"] == [] and "one colour" not in caplog.text
