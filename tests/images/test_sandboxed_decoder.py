"""Pictures decoded in a process of their own: the same pixels, and a crash is that picture's alone."""

from __future__ import annotations

import io
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spn4cir_core.images import sandboxed_decoder as confined
from spn4cir_core.images.files import ImageFiles, PictureError, decode
from spn4cir_core.images.sandboxed_decoder import CRASHED, ConfinedDecoder
from tests.images.fatal_decoders import decode_with_fatal_decoders


def test_another_process_gives_the_same_pixels_and_outlives_what_kills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 7, 4), np.uint8)).save(stream, "PNG")
    monkeypatch.setattr(confined, "_decode", decode_with_fatal_decoders)
    decoder = ConfinedDecoder(10**6)
    np.testing.assert_array_equal(decoder.decode(stream.getvalue()), decode(stream.getvalue(), 10**6))
    with pytest.raises(PictureError, match="not a picture"):
        decoder.decode(b"words")
    with pytest.raises(PictureError, match=CRASHED):
        decoder.decode(b"P6MEMORY" + b" " * 40)
    with pytest.raises(PictureError, match=CRASHED):
        decoder.decode(b"P6ABORT" + b" " * 40)
    assert decoder.decode(stream.getvalue()).size == (7, 9), "the next one gets a new process"


def test_closing_ends_the_process_and_the_next_picture_starts_another() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (9, 7)).save(stream, "PNG")
    decoder = ConfinedDecoder(10**6)
    decoder.close()  # nothing to end yet
    others = set(multiprocessing.active_children())
    for _ in range(2):
        assert decoder.decode(stream.getvalue()).size == (9, 7)
        assert len(set(multiprocessing.active_children()) - others) == 1
        decoder.close()
        assert not set(multiprocessing.active_children()) - others


def test_a_lack_of_memory_is_told_of_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(PictureError, match=r"not enough memory \(a.png; lower"):
        ImageFiles(tmp_path).open("a.png")
