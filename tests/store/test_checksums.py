"""A flipped byte in any file of any kind is found before it is used."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file

from spn4cir_core.errors import StoreError
from spn4cir_core.store import checksums
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.draft import Draft
from spn4cir_core.store.rows import Rows

KINDS: dict[str, Callable[[Draft], None]] = {
    "things.parquet": lambda draft: draft.write_table(
        pa.table({"id": [str(row) for row in range(50)]}), "things.parquet"
    ),
    "network.json": lambda draft: draft.write_json({"kind": "small"}, "network.json"),
    "bank.npy": lambda draft: np.save(draft.file("bank.npy"), np.ones((20, 4), np.float16)),
    "model.safetensors": lambda draft: save_file({"w": np.ones(9, np.float32)}, draft.file("model.safetensors")),
    "metrics.jsonl": lambda draft: draft.file("metrics.jsonl").write_text('{"loss": 1.5}\n') and None,
    "index.faiss": lambda draft: draft.file("index.faiss").write_bytes(bytes(range(200))) and None,
    "deep/sheet.jpg": lambda draft: draft.file("deep/sheet.jpg").write_bytes(bytes(300)) and None,
}


def written(store: Store) -> Artifact:
    with store.writing("things", "abc", {}) as draft:
        for write in KINDS.values():
            write(draft)
    artifact = store.get("things", "abc")
    assert artifact is not None
    return artifact


def flip(path: Path, offset: int) -> None:
    """Flip one bit; the clock is moved as well, for files written twice within one tick of it."""
    data, before = bytearray(path.read_bytes()), path.stat().st_mtime_ns
    data[offset % len(data)] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before, before + 1_000_000_000))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("offset", [0, 77, -1])
def test_a_flipped_bit_is_found_on_read_with_the_cure(tmp_path: Path, name: str, offset: int) -> None:
    artifact = written(Store(tmp_path))
    flip(artifact.file(name), offset)
    with pytest.raises(StoreError, match=f"{name} does not match its checksum.*Delete {artifact.path} and run again"):
        artifact.file(name)
    assert all(artifact.file(other) for other in KINDS if other != name)


def test_a_file_is_hashed_once_while_it_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = written(Store(tmp_path))
    hashed: list[Path] = []
    monkeypatch.setattr(checksums, "file_sha256", lambda path: hashed.append(path) or KNOWN[path.name])
    KNOWN = {Path(name).name: recorded["sha256"] for name, recorded in artifact.summary["files"].items()}
    for _ in range(3):
        artifact.file("bank.npy")
    assert len(hashed) == 1
    os.utime(artifact.path / "bank.npy", ns=(1, 1))
    artifact.file("bank.npy")
    assert len(hashed) == 2
    artifact.verify()
    assert len(hashed) == 2 + len(KINDS), "verify compares all of them, whatever is known"


READ = """
import sys
from spn4cir_core.store import checksums
from spn4cir_core.store.artifacts import Store
checksums.NOTED_BYTES = 100
checksums.file_sha256, real = lambda path: print("hashed", path.name) or real(path), checksums.file_sha256
artifact = Store(sys.argv[1]).get("things", "abc")
artifact.file("deep/sheet.jpg"), artifact.file("network.json")
"""


def hashed_by_a_new_process(root: Path) -> str:
    done = subprocess.run([sys.executable, "-c", READ, str(root)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_large_files_are_hashed_once_for_all_processes(tmp_path: Path) -> None:
    artifact = written(Store(tmp_path))
    assert hashed_by_a_new_process(tmp_path) == "hashed sheet.jpg\nhashed network.json\n"
    assert hashed_by_a_new_process(tmp_path) == "hashed network.json\n"
    note = tmp_path / "checked" / "things" / "abc" / "deep" / "sheet.jpg"
    note.write_text("{")
    assert hashed_by_a_new_process(tmp_path) == "hashed sheet.jpg\nhashed network.json\n", "a bad note is no note"
    flip(artifact.path / "deep" / "sheet.jpg", 5)
    assert "StoreError" in hashed_by_a_new_process(tmp_path)


def test_a_store_that_cannot_keep_notes_is_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = written(Store(tmp_path))
    (tmp_path / "checked").write_text("in the way")
    monkeypatch.setattr(checksums, "NOTED_BYTES", 1)
    assert artifact.file("bank.npy").is_file()


@pytest.mark.parametrize("offset", range(4, 400, 23))
def test_a_flipped_bit_in_rows_kept_per_image_is_an_error_or_changes_nothing(tmp_path: Path, offset: int) -> None:
    rows = Rows(tmp_path, pa.string())
    values = [f"a caption, number {number} of them" for number in range(20)]
    rows.append([str(number) for number in range(20)], pa.array(values))
    flip(rows.parts()[0], offset)
    try:
        read = rows.values({str(number) for number in range(20)})
    except StoreError as error:
        assert "is damaged" in str(error) and "Delete it and run again" in str(error)
    else:
        assert list(read.values()) == values
