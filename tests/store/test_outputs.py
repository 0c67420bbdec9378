"""Files that somebody asks for appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.store.outputs import output_file, write_output


def test_a_file_is_written_into_a_folder_that_is_made(tmp_path: Path) -> None:
    write_output(tmp_path / "new" / "page.html", b"a page")
    assert (tmp_path / "new" / "page.html").read_bytes() == b"a page"
    write_output(tmp_path / "new" / "page.html", b"another")
    assert [path.read_bytes() for path in (tmp_path / "new").iterdir()] == [b"another"]


def test_a_file_that_is_cut_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_output(path, b"before")
    with pytest.raises(ValueError, match="cut"), output_file(path) as scratch:
        scratch.write_bytes(b"half")
        raise ValueError("cut")
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"before"]


def test_a_file_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*page\.html.*in a folder you may write"):
        write_output(tmp_path / "taken" / "page.html", b"")
