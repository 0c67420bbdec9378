from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.images.contact_sheet import contact_sheet


def pictures(count: int, caption: str = "a") -> list[tuple[Image.Image, str]]:
    return [(Image.new("RGB", (40, 20 + index), (200, index, 0)), caption) for index in range(count)]


def test_every_picture_is_on_the_sheet_and_it_is_deterministic() -> None:
    sheet = contact_sheet(pictures(7), columns=3, side_px=32)
    assert sheet.tobytes() == contact_sheet(pictures(7), columns=3, side_px=32).tobytes()
    colours = {tuple(pixel) for pixel in np.asarray(sheet).reshape(-1, 3)}
    assert {(200, index, 0) for index in range(7)} <= colours


def test_long_captions_wrap_and_stay_within_their_cell() -> None:
    short = contact_sheet(pictures(2), columns=2, side_px=64)
    for caption in ("word " * 60, "w" * 300, "naïve ☃ 🎽 日本"):
        sheet = contact_sheet(pictures(2, caption), columns=2, side_px=64)
        assert sheet.width == short.width and short.height <= sheet.height <= short.height + 64
        gap = np.asarray(sheet)[:, 6 + 64 + 1 : 6 + 64 + 5]
        assert (gap > 150).all(), "ink between the columns"


def test_odd_shapes_and_a_single_picture() -> None:
    assert contact_sheet([(Image.new("RGB", (1, 3000)), "")], columns=8, side_px=32).width == 32 + 12


def test_nothing_to_show_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs pictures"):
        contact_sheet([], columns=2)
