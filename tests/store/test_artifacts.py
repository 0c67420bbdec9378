from __future__ import annotations

import errno
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spn4cir_core.errors import AlreadyWritten, StoreError
from spn4cir_core.store.artifacts import Artifact, Store
from spn4cir_core.store.draft import Draft
from spn4cir_core.store.whole_file import read_json, whole_file


def write(store: Store, fingerprint: str = "abc", rows: int = 3) -> Artifact:
    with store.writing("things", fingerprint, {"settings": {"x": 1}}) as draft:
        draft.write_table(pa.table({"id": [str(row) for row in range(rows)]}), "things.parquet")
        draft.write_json({"a": 1}, "deep/more.json")
        draft.drop("too odd", 2)
        draft.drop("never", 0)
        draft.rows = rows
    artifact = store.get("things", fingerprint)
    assert artifact is not None
    return artifact


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_what_is_written_is_read_back_with_its_summary(store: Store) -> None:
    artifact = write(store)
    assert artifact.table()["id"].to_pylist() == ["0", "1", "2"]
    assert read_json(artifact.file("deep/more.json")) == {"a": 1}
    assert (artifact.summary["rows"], artifact.summary["drops"]) == (3, {"too odd": 2})
    assert artifact.fingerprint == "abc" and artifact.summary["settings"] == {"x": 1}
    artifact.verify()


@pytest.mark.parametrize(("rows", "wanted", "got"), [(3, 2, ["0", "1"]), (3, 5, ["0", "1", "2"]), (0, 2, [])])
def test_the_head_of_a_table_is_its_first_rows(store: Store, rows: int, wanted: int, got: list[str]) -> None:
    head = write(store, rows=rows).head(wanted)
    assert head.column_names == ["id"] and head["id"].to_pylist() == got


def test_the_summary_counts_seconds_by_cause(store: Store) -> None:
    with store.writing("things", "t", {}) as draft, draft.timed("read"):
        pass
    assert set(read_json(store.root / "things" / "t" / "summary.json")["seconds"]) == {"read"}


def test_a_failing_block_publishes_nothing_and_keeps_its_draft(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.writing("things", "abc", {}) as draft:
        draft.write_json(1, "kept.json")
        raise ZeroDivisionError
    assert store.get("things", "abc") is None
    with store.writing("things", "abc", {}) as draft:
        assert draft.file("kept.json").is_file()
    assert store.get("things", "abc") is not None


def test_scratch_files_of_a_killed_process_are_not_published(store: Store) -> None:
    folder = store.root / "things" / ".abc.draft" / "deep"
    folder.mkdir(parents=True)
    (folder / ".more.json.4711.tmp").write_text("half")
    assert set(write(store).summary["files"]) == {"things.parquet", "deep/more.json"}


def test_whole_file_leaves_the_old_one_when_its_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as scratch:
        scratch.write_text("half")
        raise ZeroDivisionError
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"] and path.read_text() == "old"


def test_a_missing_file_a_short_file_and_a_flipped_byte_are_told_apart(store: Store) -> None:
    artifact = write(store)
    with pytest.raises(StoreError, match=r"no file 'x'; its files: \['deep/more.json', 'things.parquet'\]"):
        artifact.file("x")
    path = artifact.file("deep/more.json")
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(StoreError, match="it was damaged"):
        artifact.file("deep/more.json")
    path.write_bytes(data.replace(b"1", b"2"))
    for read in (lambda: artifact.file("deep/more.json"), artifact.verify):
        with pytest.raises(StoreError, match=f"more.json does not match its checksum.*Delete {artifact.path} and run"):
            read()


def test_a_changed_summary_is_named(store: Store) -> None:
    path = write(store).path / "summary.json"
    path.write_text(path.read_text().replace('"too odd": 2', '"too odd": 3'))
    with pytest.raises(StoreError, match=f"summary.json is damaged: it was changed. Delete {path.parent} and run"):
        store.get("things", "abc")


def test_a_summary_of_an_earlier_version_has_no_mark_and_is_read(store: Store) -> None:
    path = write(store).path / "summary.json"
    summary = read_json(path)
    del summary["summary_mark"]
    path.write_text(json.dumps(summary))
    assert store.get("things", "abc") is not None


def test_a_damaged_summary_is_named(store: Store) -> None:
    (write(store).path / "summary.json").write_text("{")
    with pytest.raises(StoreError, match=r"summary\.json is damaged"):
        store.get("things", "abc")


def test_pointers_name_the_current_artifact_of_a_recipe(store: Store) -> None:
    assert store.current("mine", "things") is None
    for fingerprint in ("one", "two"):
        store.point("mine", write(store, fingerprint))
    current, before = store.current("mine", "things"), store.before("mine", "things")
    assert current is not None and current.fingerprint == "two"
    assert before is not None and before.fingerprint == "one"
    store.point("mine", current)
    assert store.before("mine", "things") == before, "the same again is no other one"
    assert store.before("other", "things") is None
    assert store.current("other", "things") is None


def test_an_artifact_that_appeared_meanwhile_is_not_written_again(store: Store) -> None:
    write(store)
    with pytest.raises(AlreadyWritten, match="just been written"):
        write(store)


def assert_nothing_half_written(store: Store) -> None:
    assert store.get("things", "abc") is None
    assert not [path for path in store.root.rglob("*") if path.name.endswith(".tmp")]


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "failure",
    [
        FULL,
        OSError(errno.EROFS, "Read-only"),
        OSError("4096 requested and 512 written"),
        RuntimeError("IoError: No space left on device"),
    ],
)
def test_a_write_that_fails_is_a_store_error(store: Store, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr("pyarrow.parquet.write_table", fail)
        with pytest.raises(StoreError, match="cannot write things into the store"):
            write(store)
    assert_nothing_half_written(store)
    assert write(store).summary["rows"] == 3


def test_errors_that_are_not_about_the_store_pass(store: Store, tmp_path: Path) -> None:
    for error in (OSError("broken picture"), PermissionError(errno.EACCES, "denied", str(tmp_path / "input.png"))):
        with pytest.raises(OSError) as caught, store.writing("things", "abc", {}):
            raise error
        assert caught.value is error


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond 64 KiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def arrow_table(draft: Draft) -> None:
    draft.write_table(pa.table({"x": np.random.default_rng(0).random(100_000)}), "things.parquet")


def numpy_array(draft: Draft) -> None:
    np.save(draft.file("v.npy"), np.zeros(100_000))


def long_json(draft: Draft) -> None:
    draft.write_json(["x" * 100_000], "a.json")


@pytest.mark.parametrize("fill", [arrow_table, numpy_array, long_json])
def test_a_real_limit_on_file_size_is_a_store_error(store: Store, small_files: None, fill: Any) -> None:
    with pytest.raises(StoreError, match="free space"), store.writing("things", "abc", {}) as draft:
        fill(draft)
    assert_nothing_half_written(store)


def test_a_store_below_a_file_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write things"):
        write(Store(tmp_path / "file" / "store"))
