"""The commands about evaluation, on small stores."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spn4cir_core.annotations.annotation_files import Parser
from spn4cir_core.backbones.small.settings import Small
from spn4cir_core.cli.app import app
from spn4cir_core.errors import InputError, StoreError
from spn4cir_core.reports.stage import EVAL_REPORT
from spn4cir_core.store.artifacts import Store
from spn4cir_core.training.checkpoints import Resume
from tests.evaluation.test_submission import circo, scanned
from tests.measured_store import NAME, measured_store, write_checkpoint
from tests.measured_store import recipe as measured_recipe


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
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(recipe.read_text().replace('"test"\n', '"elsewhere"\n', 1))
    store.point("elsewhere", images)
    of_test = spn4cir("submit", "--recipe", elsewhere, "--store", store.root, "--trained", "test", "--out", tmp_path)
    assert Path(of_test.strip()).read_bytes() == written.read_bytes()
    written.write_text(json.dumps({"0": [1]}))
    with pytest.raises(InputError, match="2 of 3 queries are missing"):
        spn4cir("submit", "--check", written, *words)


def test_a_prediction_file_is_scored_here(tmp_path: Path) -> None:
    query = {"reference_img_id": 1, "relative_caption": "x", "target_img_id": 7, "gt_img_ids": [7, 8]}
    (tmp_path / "val.json").write_text(json.dumps([{"id": 0, **query}]))
    (tmp_path / "answers.json").write_text(json.dumps({"0": [7, *range(100, 149)]}))
    lines = spn4cir("score", tmp_path / "answers.json", "--annotations", tmp_path / "val.json").splitlines()
    assert [line.split() for line in lines][:5] == [
        ["mAP@5", "50.00"],
        ["mAP@10", "50.00"],
        ["mAP@25", "50.00"],
        ["mAP@50", "50.00"],
        ["recall@5", "100.00"],
    ]


def test_drafts_are_read_back_as_queries(tmp_path: Path) -> None:
    store, recipe, out = measured_store(tmp_path), tmp_path / "measured.toml", tmp_path / "new" / "queries.csv"
    recipe.write_text(
        f'base = "folder"\nname = "{NAME}"\n[images.reader]\nkind = "folder"\nfolder = "{tmp_path / "pictures"}"\n'
    )
    words = ["queries", "--recipe", recipe, "--store", store.root, "--out", out]
    assert "12 drafts" in spn4cir(*words, "--count", "12")
    ids = {f"toys/{number:02d}.png": f"toys/{number:02d}.png" for number in range(36)}
    parser = Parser("toys", "", ids, {})
    queries = parser.queries(out.read_bytes())
    assert len(queries) == 12 and not parser.drops
    by_reference = {query.reference_id: query.target_ids for query in queries}
    assert len(by_reference) == 12
    for reference, targets in by_reference.items():
        assert f"toys/{int(reference[5:7]) + 1:02d}.png" in targets
    with pytest.raises(InputError, match="name a new file"):
        spn4cir(*words)
    with pytest.raises(InputError, match="nothing to draft from: corpus 'other' has no 'held_out' queries"):
        spn4cir(*words, "--corpus", "other")
    out.unlink()
    assert "drafts" in spn4cir(*words, "--from", "labels")
    assert {query.kind for query in parser.queries(out.read_bytes())} == {"label", "colour"}


def test_compare_writes_a_page_and_its_twins(tmp_path: Path) -> None:
    store = measured_store(tmp_path)
    report, _ = EVAL_REPORT.run(measured_recipe(tmp_path / "pictures"), store)
    store.point("other", report)
    recipe = tmp_path / "measured.toml"
    recipe.write_text(
        f'base = "folder"\nname = "{NAME}"\n[images.reader]\nkind = "folder"\nfolder = "{tmp_path / "pictures"}"\n'
    )
    out = tmp_path / "new" / "compare.html"
    words = ["compare", f"ours={recipe}@{store.root}", f"other@{store.root}", "--out", out, "--draws", "100"]
    shown = spn4cir(*words)
    assert [Path(line).suffix for line in shown.splitlines()[-3:]] == [".html", ".md", ".json"]
    assert "| ours |" in shown and "R@1" in shown
    said = json.loads(out.with_suffix(".json").read_text())
    assert [run["label"] for run in said["runs"]] == ["ours", f"other@{store.root}"]
    assert "| ours |" in out.with_suffix(".md").read_text()
    with pytest.raises(InputError, match="at least two runs"):
        spn4cir("compare", recipe)
    with pytest.raises(StoreError, match="no eval_report of recipe 'gone'"):
        spn4cir("compare", recipe, "gone", "--store", store.root)
    with pytest.raises(InputError, match=f"{report.fingerprint} is named 2 times as '{NAME}'"):
        spn4cir("compare", NAME, NAME, "--store", store.root, "--out", tmp_path / "twice.html")
    assert "RECIPE[@STORE]" in re.sub(r"\s", "", spn4cir("compare", "--help"))
    printed = spn4cir("compare", NAME, "other", "--store", store.root, "--out", tmp_path / "b.html", "--draws", "100")
    assert "0 : 0" in Path(printed.splitlines()[-3]).read_text()  # two names of one report


def test_compare_before_ends_in_a_diagnosis(tmp_path: Path) -> None:
    store = measured_store(tmp_path)
    EVAL_REPORT.run(measured_recipe(tmp_path / "pictures"), store)
    recipe = tmp_path / "measured.toml"
    recipe.write_text(
        f'base = "folder"\nname = "{NAME}"\n[images.reader]\nkind = "folder"\nfolder = "{tmp_path / "pictures"}"\n'
    )
    words = ["compare", "--before", recipe, "--store", store.root, "--out", tmp_path / "page.html", "--draws", "100"]
    with pytest.raises(StoreError, match="none before it to compare with"):
        spn4cir(*words)
    write_checkpoint(store, "stage2_checkpoint", seed=7)
    EVAL_REPORT.run(measured_recipe(tmp_path / "pictures"), store)
    with pytest.raises(InputError, match="there is no query set 'nosuch'; the reports have '"):
        spn4cir(*words, "--queries", "nosuch")
    lines = spn4cir(*words).splitlines()
    start = lines.index(str(tmp_path / "page.html"))
    assert lines[start : start + 3] == [str(tmp_path / f"page{ending}") for ending in (".html", ".md", ".json")]
    ruler, data, training = (
        next(number for number, line in enumerate(lines) if line.startswith(f"{word} ("))
        for word in ("ruler", "data", "training")
    )
    assert all("same queries and same gallery" in line or "the same" in line for line in lines[ruler + 1 : data])
    assert lines[data + 1 : training] == ["  the same"]
    assert lines[training + 1 :] == ["  stage2_checkpoint: seed: 2 → 7"]
