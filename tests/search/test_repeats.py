"""Hits say nothing twice, and a picture that is gone does not end a search."""

from __future__ import annotations

import io
import logging
import shutil
from pathlib import Path

import pytest
from PIL import Image

from spn4cir_core.images.files import ImageFiles
from spn4cir_core.search.indexed_blend import Scored
from spn4cir_core.search.repeats import Once, Repeats
from spn4cir_core.search.requested_search import RequestedSearch
from spn4cir_core.search.search import Searcher
from spn4cir_core.search.service import SearchService

REFERENCE = "toys/04.png"


def ids(searcher: Searcher, image: Path | Image.Image | None, text: str | None, once: Once = "all") -> list[str]:
    return [hit.image_id for hit in searcher.search(image, text, 36, once=once)]


@pytest.mark.parametrize("text", [None, "a red circle"])
def test_a_picture_is_never_its_own_hit(text: str | None, searcher: Searcher, pictures: Path, tmp_path: Path) -> None:
    byte_copy = shutil.copyfile(pictures / REFERENCE, tmp_path / "copy.png")
    with Image.open(pictures / REFERENCE) as opened:
        opened.save(tmp_path / "pixels.bmp")
    for image in (pictures / REFERENCE, Path(byte_copy), tmp_path / "pixels.bmp"):
        for one in (searcher, searcher.beside(searcher.network)):
            assert REFERENCE not in ids(one, image, text)
            assert len(ids(one, image, text)) == 35


@pytest.mark.parametrize("suffix", ["PNG", "BMP"])
def test_an_upload_of_an_indexed_picture_is_not_its_own_hit(
    suffix: str, service: SearchService, pictures: Path
) -> None:
    stream = io.BytesIO()
    with Image.open(pictures / REFERENCE) as opened:
        opened.save(stream, suffix)
    hits = service.search(RequestedSearch([], [stream.getvalue()], "a red circle", "composed", 36)).hits
    assert hits and REFERENCE not in {hit.image_id for hit in hits}


def test_near_duplicates_are_shown_once_and_leave_room(searcher: Searcher, pictures: Path) -> None:
    every, once = ids(searcher, None, "a red circle"), ids(searcher, None, "a red circle", "pictures")
    twins = sorted({"toys/19.png", "toys/35.png"}, key=every.index)
    assert once == [image_id for image_id in every if image_id != twins[1]]
    assert len(searcher.search(None, "a red circle", 35)) == 35
    assert "toys/35.png" not in ids(searcher, pictures / "toys/19.png", None, "pictures")
    assert "toys/35.png" in ids(searcher, pictures / "toys/19.png", None)


def test_an_answer_says_how_many_near_duplicates_it_leaves_out(
    searcher: Searcher, service: SearchService, pictures: Path
) -> None:
    note, every = "1 near-duplicate left out", searcher.search(None, "a red circle", 35)
    assert searcher.left_out(every, []) == note
    assert searcher.left_out(searcher.search(None, "a red circle", 36, once="all"), [], "all") == ""
    assert searcher.left_out([hit for hit in every if hit.image_id not in ("toys/19.png", "toys/35.png")], []) == ""
    twin = pictures / "toys/19.png"
    hits = searcher.search(twin, "a red circle", 2)
    assert searcher.left_out(hits, searcher.indexed([twin])) == note and searcher.left_out(hits, [None]) == ""
    assert note in service.search(RequestedSearch([], [], "a red circle", "text", 35)).note
    assert note in service.search(RequestedSearch(["toys/19.png"], [], "a red circle", "composed", 2)).note
    assert note in service.search(RequestedSearch([], [twin.read_bytes()], "a red circle", "composed", 2)).note
    assert note not in service.search(RequestedSearch(["toys/04.png"], [], "a red circle", "composed", 1)).note


@pytest.mark.parametrize(
    ("once", "reference", "left"),
    [
        ("all", None, [3, 1, 0, 2]),
        ("pictures", None, [3, 0, 2]),
        ("products", None, [3, 0]),
        ("pictures", 1, [0, 2]),
        ("all", 1, [3, 0, 2]),
    ],
)
def test_what_is_left_out(once: Once, reference: int | None, left: list[int]) -> None:
    """1 and 3 are near-duplicates, 0 and 2 views of one product."""
    repeats = Repeats(near={1: [3], 3: [1]}, views={0: [2], 2: [0]})
    scored = [Scored(1 - number / 10, row, {}) for number, row in enumerate([3, 1, 0, 2])]
    assert [one.row for one in repeats.without_repeats(scored, [reference], once)] == left


def test_a_deleted_picture_is_a_tile_of_the_sheet(searcher: Searcher, pictures: Path, tmp_path: Path) -> None:
    copied = tmp_path / "pictures"
    shutil.copytree(pictures, copied)
    hits = searcher.search(None, "a red circle", 4)
    whole = searcher.contact_sheet(None, "a red circle", hits, ImageFiles(copied))
    (copied / hits[1].path).unlink()
    (copied / hits[2].path).write_bytes(b"no picture")
    sheet = searcher.contact_sheet(None, "a red circle", hits, ImageFiles(copied))
    assert sheet.width == whole.width


def test_a_text_past_the_limit_is_told(
    searcher: Searcher, service: SearchService, caplog: pytest.LogCaptureFixture
) -> None:
    trained, limit = searcher.beside(searcher.network), searcher.network.token_limit
    with caplog.at_level(logging.WARNING):
        trained.search(None, "red " * (limit - 4), 1)
        assert "tokens" not in caplog.text
        trained.search(None, "red " * (2 * limit), 1)
    assert f"the first {limit}" in caplog.text
