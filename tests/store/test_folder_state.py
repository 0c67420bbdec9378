"""Any change below a folder shows in its state."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from spn4cir_core.store import folder_state as module
from spn4cir_core.store.folder_state import code_state, folder_state


@pytest.fixture(autouse=True)
def all_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLED_NS", -(10**15))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "_hidden").mkdir()
    (tmp_path / "elsewhere.txt").write_text("one")
    (folder / "a.txt").write_text("one")
    (folder / "inner" / "b.txt").write_text("two")
    (folder / "link.txt").symlink_to(tmp_path / "elsewhere.txt")
    (folder / "nowhere.txt").symlink_to(tmp_path / "missing.txt")
    return folder


def rewrite(path: Path, text: str) -> None:
    """Other bytes of the same length with the old time of change, in a file of its own."""
    other, before = path.with_name("other"), path.stat()
    other.write_text(text)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def test_a_folder_that_holds_still_has_one_state(folder: Path) -> None:
    state = folder_state(folder)
    assert state is not None and folder_state(folder) == state
    (folder / "_hidden" / "c.txt").write_text("three")
    assert folder_state(folder) == state


CHANGES: dict[str, Callable[[Path], object]] = {
    "a new file": lambda folder: (folder / "inner" / "c.txt").write_text("three"),
    "a new folder": lambda folder: (folder / "inner" / "more").mkdir(),
    "a file is gone": lambda folder: (folder / "inner" / "b.txt").unlink(),
    "a longer file": lambda folder: (folder / "a.txt").write_text("longer"),
    "other bytes, the old time": lambda folder: rewrite(folder / "a.txt", "eno"),
    "another name": lambda folder: (folder / "a.txt").rename(folder / "c.txt"),
    "moved into a folder": lambda folder: (folder / "a.txt").rename(folder / "inner" / "a.txt"),
    "the file behind a link": lambda folder: (folder.parent / "elsewhere.txt").write_text("changed"),
    "a link that leads somewhere now": lambda folder: (folder.parent / "missing.txt").write_text("there"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(folder: Path, change: str) -> None:
    before = folder_state(folder)
    os.utime(folder / "a.txt", ns=(1, 1))  # so that no tick of the clock can hide what comes next
    changed = folder_state(folder)
    assert changed != before
    CHANGES[change](folder)
    assert folder_state(folder) != changed


def test_a_file_that_has_just_changed_has_no_state(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLED_NS", 10**15)
    assert folder_state(folder) is None


def test_a_linked_folder_leaves_no_state(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (folder / "linked").symlink_to(tmp_path / "corpus")
    assert folder_state(folder) is None


def test_the_code_has_a_state() -> None:
    code_state.cache_clear()
    assert code_state()


def test_a_link_to_itself_is_as_one_that_leads_nowhere(folder: Path) -> None:
    before = folder_state(folder)
    (folder / "loop").symlink_to(folder / "loop")
    assert folder_state(folder) not in (None, before)
