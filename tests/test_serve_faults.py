"""A short run of ``benchmarks/serve_faults.py``: a worker is killed, a new index is made, and every answer is right."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from benchmarks.serve_faults import endure
from tests.measured_store import measured_store, recipe


def test_no_answer_is_wrong_or_lost(tmp_path: Path) -> None:
    store, measured = measured_store(tmp_path), recipe(tmp_path / "pictures")
    toml = tmp_path / "measured.toml"
    toml.write_text(f'base = "folder"\nname = "{measured.name}"\n')
    words = ["--recipe", str(toml), "--store", str(store.root), "--images", str(tmp_path / "pictures")]
    result = endure(measured, store, words, clients=6, seconds=4, workers=2)
    assert result["wrong"] == 0 and result["answers_of_the_new_index"] >= 6
    assert set(result["outcomes"]) <= {"at once", "tried again"}
    assert result["answers"] == sum(result["outcomes"].values()) > 12
