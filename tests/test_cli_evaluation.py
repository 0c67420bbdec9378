"""The commands about evaluation, on small stores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spn4cir_core.artifacts import Store
from spn4cir_core.backbones.small import Small
from spn4cir_core.cli import app
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.training.checkpoints import Resume
from tests.evaluation.test_submission import circo, scanned


def spn4cir(*words: str | Path) -> str:
    """Run a command; a known error is raised, as ``main`` sees it."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception:
        raise done.exception
    return done.stdout


def test_server_files_are_written_and_checked(tmp_path: Path) -> None:
    folder, store = tmp_path / "circo_data", Store(tmp_path / "store")
    images = scanned(circo(folder), store)
    recipe = tmp_path / "test.toml"
    recipe.write_text(
        f'base = "folder"\nname = "test"\n[images.reader]\nkind = "circo"\nfolder = "{folder}"\nevaluate = "test"\n'
    )
    words = ["--recipe", recipe, "--store", store.root]
    with pytest.raises(StoreError, match="has no stage2_checkpoint"):
        spn4cir("submit", *words)
    backbone = Small(dim=16, image_px=16)
    with store.writing("stage2_checkpoint", "one", {}) as draft:
        Resume(draft).finish(backbone, backbone.build(["two dogs"], 0), 0.05, [])
    checkpoint = store.get("stage2_checkpoint", "one")
    assert checkpoint is not None
    store.point("test", images)
    store.point("test", checkpoint)
    written = store.root / "submissions" / "circo_submission_test_stage2.json"
    assert spn4cir("submit", *words).strip() == str(written)
    assert "fit for the server (map)" in spn4cir("submit", "--check", written, *words)
    queries = folder / "annotations" / "test.json"
    assert "names of images were not compared" in spn4cir("submit", "--check", written, "--annotations", queries)
    written.write_text(json.dumps({"0": [1]}))
    with pytest.raises(InputError, match="2 of 3 queries are missing"):
        spn4cir("submit", "--check", written, *words)
