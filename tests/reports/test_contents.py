from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spn4cir_core.evaluation.query_sets import sets_by_evaluator
from spn4cir_core.evaluation.report_tables import RECALL_FILE, read_report_table
from spn4cir_core.reports import sources, stage
from spn4cir_core.store.whole_file import read_json
from tests.measured_store import measured_store, recipe

SENTENCE = "Blend of channels also reads captions of the gallery, which published rows do not"


@pytest.mark.parametrize("captions_of_gallery", [False, True])
def test_a_published_protocol_is_asked_of_the_blend_only_on_demand_and_then_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, captions_of_gallery: bool
) -> None:
    def published(*given: Any) -> Any:
        made = sets_by_evaluator(*given)
        return [(which, [replace(query_set, published=True) for query_set in sets]) for which, sets in made]

    monkeypatch.setattr(sources, "sets_by_evaluator", published)
    store = measured_store(tmp_path)
    settings = {"captions_of_gallery": True} if captions_of_gallery else {}
    report, _ = stage.EVAL_REPORT.run(recipe(tmp_path / "pictures", **settings), store)
    models = set(read_report_table(report, RECALL_FILE)["model"].to_pylist())
    assert models == {"stage1", "control", "stage2"} | ({"blend"} if captions_of_gallery else set())
    for query_set in read_json(report.file("report.json"))["query_sets"]:
        assert (SENTENCE in query_set["protocol"]) is captions_of_gallery
        assert query_set["served"] == ("blend" if captions_of_gallery else "stage2")
