from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.errors import InputError
from spn4cir_core.evaluation.score_files import score_files


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.data
def test_circos_own_example_has_the_figures_of_its_evaluation_script(shared_data: Path) -> None:
    folder = shared_data / "annotations" / "circo"
    figures = score_files([folder / "submission_examples" / "submission_val.json"], folder / "annotations" / "val.json")
    assert [round(figures[f"mAP@{k}"], 2) for k in (5, 10, 25, 50)] == [0.49, 0.52, 0.54, 0.60]
    assert [round(figures[f"recall@{k}"], 2) for k in (5, 10, 25, 50)] == [0.91, 0.91, 1.36, 3.64]
    assert sum(name.startswith("mAP@10 ") for name in figures) == 9


def test_a_query_of_circo_by_hand(tmp_path: Path) -> None:
    query = {"reference_img_id": 1, "relative_caption": "x", "shared_concept": "y", "semantic_aspects": ["addition"]}
    rows = [
        {"id": 0, **query, "target_img_id": 7, "gt_img_ids": [7, 8]},
        {"id": 1, **query, "target_img_id": 9, "gt_img_ids": [9], "semantic_aspects": ["negation"]},
    ]
    ranked = [100 + number for number in range(50)]
    files = [write(tmp_path / "s.json", {"0": [8, 5, *ranked[:2], 7, *ranked[5:]], "1": ranked})]
    figures = score_files(files, write(tmp_path / "val.json", rows))
    assert figures["mAP@5"] == pytest.approx(100 * (1 + 2 / 5) / 2 / 2)
    assert (figures["recall@5"], figures["mAP@10 negation"]) == (50, 0)
    assert figures["mAP@10 addition"] == pytest.approx(70)


def cirr(tmp_path: Path) -> Path:
    members = [f"dev-{number}" for number in range(6)]
    row = {"caption": "x", "img_set": {"id": 1, "members": members}}
    rows = [
        {"pairid": 4, "reference": "dev-0", "target_hard": "dev-1", **row},
        {"pairid": 5, "reference": "dev-1", "target_hard": "dev-2", **row},
    ]
    return write(tmp_path / "cap.rc2.val.json", rows)


def test_both_files_of_cirr_give_rmean(tmp_path: Path) -> None:
    others = [f"other-{number}" for number in range(49)]
    head = {"version": "rc2"}
    recall = {**head, "metric": "recall", "4": ["dev-1", *others], "5": [*others[:5], "dev-2", *others[5:]]}
    subset = {**head, "metric": "recall_subset", "4": ["dev-5", "dev-1", "dev-2"], "5": ["dev-2", "dev-3", "dev-0"]}
    files = [write(tmp_path / "a.json", recall), write(tmp_path / "b.json", subset)]
    figures = score_files(files, cirr(tmp_path))
    assert [figures[f"recall@{k}"] for k in (1, 5, 10, 50)] == [50, 50, 100, 100]
    assert [figures[f"subset recall@{k}"] for k in (1, 2, 3)] == [50, 100, 100]
    assert figures["Rmean"] == 50
    assert "Rmean" not in score_files(files[:1], cirr(tmp_path))


def test_hidden_targets_and_files_that_no_server_takes(tmp_path: Path) -> None:
    annotations = cirr(tmp_path)
    with pytest.raises(InputError, match="2 of 2 queries are missing"):
        score_files([write(tmp_path / "a.json", {"version": "rc2", "metric": "recall"})], annotations)
    hidden = [
        {key: value for key, value in row.items() if key != "target_hard"}
        for row in json.loads(annotations.read_text())
    ]
    with pytest.raises(InputError, match="server alone can score"):
        score_files([], write(tmp_path / "cap.rc2.test1.json", hidden))
