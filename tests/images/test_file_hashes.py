from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spn4cir_core.images.file_hashes import all_plain, file_hashes
from spn4cir_core.images.files import ImageFiles
from spn4cir_core.store.artifacts import Store
from spn4cir_core.store.rows import Rows


def picture(path: Path) -> str:
    Image.new("RGB", (8, 8), len(path.name)).save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_new_files_are_hashed_where_the_store_can_only_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "photos").mkdir()
    files, store = ImageFiles(tmp_path / "photos"), Store(tmp_path / "store")
    hashes = {name: picture(files.root / name) for name in ("a.png", "bb.png")}
    assert file_hashes(files, hashes, store, 2) == hashes

    def refuse(rows: Rows, *_: Any) -> None:
        raise OSError(number, "not here", str(rows.folder))

    monkeypatch.setattr(Rows, "append", refuse)
    hashes["ccc.jpg"] = picture(files.root / "ccc.jpg")
    (files.root / "a.png").unlink()
    hashes["a.png"] = picture(files.root / "a.png")
    assert file_hashes(files, hashes, store, 2) == hashes
    assert all_plain(files, {sha256: path for path, sha256 in hashes.items()}, store, 2)


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(rows: Rows, *_: Any) -> None:
        raise OSError(errno.ENOSPC, "full", str(rows.folder))

    monkeypatch.setattr(Rows, "append", refuse)
    picture(tmp_path / "a.png")
    with pytest.raises(OSError, match="full"):
        file_hashes(ImageFiles(tmp_path), ["a.png"], Store(tmp_path / "store"), 1)
