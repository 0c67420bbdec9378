"""Pictures read from memory against pictures read each time, within a bound of memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.images.files import ImageFiles, ListedPicture, PictureError, pixel_sha256
from spn4cir_core.search.recent_inputs import RecentInputs


def picture(colour: int, size: tuple[int, int] = (2, 3)) -> Image.Image:
    return Image.new("RGB", size, (colour, 0, 0))


class Reader:
    """Inputs of eight bytes a picture, and how many pictures each call read."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def __call__(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        self.counts.append(len(pictures))
        return np.array([[one.getpixel((0, 0))[0], one.width] for one in pictures], np.float32)  # type: ignore[index]


def test_a_picture_is_read_once_and_gives_the_same_inputs() -> None:
    reader = Reader()
    read = RecentInputs(reader)
    calls = [[1], [1], [2, 1, 2], [3, 1]]
    for colours in calls:
        assert read([picture(colour) for colour in colours]).tolist() == [[colour, 2] for colour in colours]
    assert reader.counts == [1, 1, 1]
    assert read([picture(1, (3, 2))]).tolist() == [[1, 3]], "the same bytes in another shape are another picture"


def test_what_was_read_longest_ago_leaves_first() -> None:
    reader = Reader()
    read = RecentInputs(reader, most_bytes=16)
    for colour in (1, 2, 1, 3, 1, 2):  # 3 takes the room of 2
        assert read([picture(colour)]).tolist() == [[colour, 2]]
    assert reader.counts == [1, 1, 1, 1]
    assert read([picture(colour) for colour in (4, 5, 6)]).tolist() == [[4, 2], [5, 2], [6, 2]], "more than it keeps"


def test_inputs_in_memory_are_its_own() -> None:
    read = RecentInputs(Reader())
    read([picture(1)])[0] = 9
    assert read([picture(1)]).tolist() == [[1, 2]]


def test_a_listed_picture_is_opened_where_its_pixels_are_needed(tmp_path: Path) -> None:
    picture(7).save(tmp_path / "one.png")
    listed = ListedPicture(ImageFiles(tmp_path), "one.png", pixel_sha256(picture(7)))
    read = RecentInputs(Reader())
    assert read([listed]).tolist() == [[7, 2]]
    (tmp_path / "one.png").unlink()
    assert read([listed]).tolist() == [[7, 2]], "read before"
    with pytest.raises(PictureError, match="no such file"):
        RecentInputs(Reader())([listed])
