"""Notes are read as they were written, and are missed by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from spn4cir_core.store.notes import read_note, write_note


def test_a_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "note.json"
    assert read_note(path) is None
    write_note(path, ["a", {"b": 1}])
    write_note(path, ["c", None])
    assert read_note(path) == ["c", None] and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_damaged_note_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "note.json").write_bytes(content)
    assert read_note(tmp_path / "note.json") is None


def test_a_store_that_cannot_be_written_has_no_notes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    write_note(tmp_path / "file" / "note.json", 1)
    assert read_note(tmp_path / "file" / "note.json") is None
